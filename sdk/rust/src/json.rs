//! JSON (RFC 8259), small: what most modules need, without a dependency. A number keeps its text, so that what a module
//! does not touch comes out as it came in.

const MOST_DEPTH: usize = 500;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Not there: what a look-up gives that finds nothing.
    Nothing,
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The error says where: "at byte 17: expected a value".
pub fn parse(text: &[u8]) -> Result<Json, String> {
    let text = std::str::from_utf8(text).map_err(|error| format!("at byte {}: no UTF-8", error.valid_up_to()))?;
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.space();
    let value = parser.value()?;
    parser.space();
    if parser.at == text.len() {
        Ok(value)
    } else {
        Err(parser.expected("the end"))
    }
}

impl Json {
    /// The member of an object; of names that occur twice the last one.
    pub fn get(&self, name: &str) -> &Json {
        match self {
            Json::Object(members) => {
                members.iter().rev().find(|(each, _)| each == name).map_or(&Json::Nothing, |(_, value)| value)
            }
            _ => &Json::Nothing,
        }
    }

    pub fn items(&self) -> &[Json] {
        match self {
            Json::List(items) => items,
            _ => &[],
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Json::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// '' when it is no text.
    pub fn text(&self) -> &str {
        self.as_text().unwrap_or_default()
    }

    pub fn is_true(&self) -> bool {
        *self == Json::Bool(true)
    }

    /// Sets a member of an object; `value` is JSON text, and wrong text is taken as a text.
    pub fn set(&mut self, name: &str, value: &str) {
        let value = parse(value.as_bytes()).unwrap_or_else(|_| Json::Text(value.into()));
        if let Json::Object(members) = self {
            match members.iter_mut().rev().find(|(each, _)| each == name) {
                Some(member) => member.1 = value,
                None => members.push((name.into(), value)),
            }
        }
    }

    /// The JSON text with this member set.
    pub fn with(mut self, name: &str, value: &str) -> String {
        self.set(name, value);
        self.to_string()
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Json::Nothing | Json::Null => out.write_str("null"),
            Json::Bool(value) => write!(out, "{value}"),
            Json::Number(text) => out.write_str(text),
            Json::Text(text) => quote(out, text),
            Json::List(items) => {
                out.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if i > 0 { "," } else { "" })?;
                }
                out.write_str("]")
            }
            Json::Object(members) => {
                out.write_str("{")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    out.write_str(if i > 0 { "," } else { "" })?;
                    quote(out, name)?;
                    write!(out, ":{value}")?;
                }
                out.write_str("}")
            }
        }
    }
}

fn quote(out: &mut std::fmt::Formatter, text: &str) -> std::fmt::Result {
    out.write_str("\"")?;
    for char in text.chars() {
        match char {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            char if char < ' ' => write!(out, "\\u{:04x}", char as u32)?,
            char => write!(out, "{char}")?,
        }
    }
    out.write_str("\"")
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn expected(&self, what: &str) -> String {
        let got = self.text[self.at..].chars().next().map_or("the end".into(), |char| format!("'{char}'"));
        format!("at byte {}: expected {what}, got {got}", self.at)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8, what: &str) -> Result<(), String> {
        if self.peek() != byte || self.at == self.text.len() {
            return Err(self.expected(what));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    fn value(&mut self) -> Result<Json, String> {
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            b'"' => Ok(Json::Text(self.string()?)),
            b'{' | b'[' if self.depth == MOST_DEPTH => Err(format!("at byte {}: more than {MOST_DEPTH} levels", self.at)),
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::list),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.expected("a value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Json, String>) -> Result<Json, String> {
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut members = Vec::new();
        self.take(b'{', "'{'")?;
        while self.peek() != b'}' {
            if !members.is_empty() {
                self.take(b',', "',' or '}'")?;
            }
            if self.peek() != b'"' {
                return Err(self.expected("a key"));
            }
            let name = self.string()?;
            self.space();
            self.take(b':', "':'")?;
            members.push((name, self.value()?));
            self.space();
        }
        self.at += 1;
        Ok(Json::Object(members))
    }

    fn list(&mut self) -> Result<Json, String> {
        let mut items = Vec::new();
        self.take(b'[', "'['")?;
        while self.peek() != b']' {
            if !items.is_empty() {
                self.take(b',', "',' or ']'")?;
            }
            items.push(self.value()?);
            self.space();
        }
        self.at += 1;
        Ok(Json::List(items))
    }

    fn digits(&mut self) -> Result<(), String> {
        if !self.peek().is_ascii_digit() {
            return Err(self.expected("a digit"));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Json, String> {
        let from = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Json::Number(self.text[from..self.at].into()))
    }

    fn string(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|char: char| char == '"' || char == '\\' || char < ' ').unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => text.push(self.escape()?),
                _ => return Err(self.expected("'\"'")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        self.at += 1;
        let char = match self.peek() {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            byte @ (b'"' | b'\\' | b'/') => byte as char,
            b'u' => return self.unicode(),
            _ => return Err(self.expected("an escape")),
        };
        self.at += 1;
        Ok(char)
    }

    /// A surrogate without its pair counts as U+FFFD, as when JavaScript encodes it.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.hex()?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
            let before = self.at;
            self.at += 1;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                return Ok(char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).unwrap_or('\u{fffd}'));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    /// Stands on the `u`.
    fn hex(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at + 1..self.at + 5).unwrap_or_default();
        if digits.len() < 4 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.expected("four hex digits"));
        }
        self.at += 5;
        u32::from_str_radix(digits, 16).map_err(|error| error.to_string())
    }
}
