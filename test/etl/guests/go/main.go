// A Redpanda transform in Go without its SDK, which no module proxy has: the ABI by hand, the whole Go runtime behind it.
// Lines of text come out in upper case, with a header that counts the records of the instance; what begins with "panic"
// panics, "exit" exits, "sleep" sleeps an hour, "goroutines" waits for a hundred of them.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"
)

//go:wasmimport redpanda_transform check_abi_version_2
func check()

//go:wasmimport redpanda_transform read_batch_header
func readBatchHeader(baseOffset, recordCount, leaderEpoch, attributes, lastOffsetDelta, baseTimestamp, maxTimestamp, producerID, producerEpoch, baseSequence unsafe.Pointer) int32

//go:wasmimport redpanda_transform read_next_record
func readNextRecord(attributes, timestamp, offset, buffer unsafe.Pointer, length uint32) int32

//go:wasmimport redpanda_transform write_record
func writeRecord(payload unsafe.Pointer, length uint32) int32

func sized(from []byte) (value []byte, rest []byte) {
	length, n := binary.Varint(from)
	if length < 0 {
		return nil, from[n:]
	}
	return from[n : n+int(length)], from[n+int(length):]
}

func put(to []byte, value []byte) []byte {
	if value == nil {
		return binary.AppendVarint(to, -1)
	}
	return append(binary.AppendVarint(to, int64(len(value))), value...)
}

func transform(payload []byte, count int) []byte {
	key, rest := sized(payload)
	value, _ := sized(rest)
	switch word, _, _ := strings.Cut(string(value), " "); word {
	case "panic":
		panic("cannot bear " + string(value))
	case "exit":
		os.Exit(3)
	case "sleep":
		time.Sleep(time.Hour)
	case "goroutines":
		var wait sync.WaitGroup
		for i := 0; i < 100; i++ {
			wait.Add(1)
			go func() { defer wait.Done() }()
		}
		wait.Wait()
	case "log":
		fmt.Println("out:", string(value))
	}
	if value != nil {
		value = bytes.ToUpper(value)
	}
	out := put(put(nil, key), value)
	out = binary.AppendVarint(out, 1)
	return put(put(out, []byte("count")), []byte(strconv.Itoa(count)))
}

func main() {
	check()
	var baseOffset, baseTimestamp, maxTimestamp, producerID, timestamp, offset int64
	var recordCount, leaderEpoch, lastOffsetDelta, baseSequence int32
	var attributes, producerEpoch int16
	var attribute uint8
	count := 0
	for {
		longest := readBatchHeader(unsafe.Pointer(&baseOffset), unsafe.Pointer(&recordCount), unsafe.Pointer(&leaderEpoch), unsafe.Pointer(&attributes), unsafe.Pointer(&lastOffsetDelta), unsafe.Pointer(&baseTimestamp), unsafe.Pointer(&maxTimestamp), unsafe.Pointer(&producerID), unsafe.Pointer(&producerEpoch), unsafe.Pointer(&baseSequence))
		buffer := make([]byte, longest)
		for i := int32(0); i < recordCount; i++ {
			length := readNextRecord(unsafe.Pointer(&attribute), unsafe.Pointer(&timestamp), unsafe.Pointer(&offset), unsafe.Pointer(unsafe.SliceData(buffer)), uint32(len(buffer)))
			if length < 0 {
				panic(fmt.Sprint("read: ", length))
			}
			count++
			out := transform(buffer[:length], count)
			if written := writeRecord(unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out))); int(written) != len(out) {
				panic(fmt.Sprint("write: ", written))
			}
		}
	}
}
