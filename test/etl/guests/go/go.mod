module millstream.example/guests

go 1.24
