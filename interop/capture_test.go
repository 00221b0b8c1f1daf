package interop

import (
	"bufio"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// captureLimit bounds the frames that a scenario keeps: to dissect them takes
// longer than to send them. What comes after is counted.
const captureLimit = 30_000

// A capture is a file of the frames of a scenario, in the format of libpcap with
// times in nanoseconds, as they were passed on.
type capture struct {
	path string

	mu          sync.Mutex
	file        *os.File
	w           *bufio.Writer
	kept, total int
	err         error
}

func newCapture(path string) (*capture, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	c := &capture{path: path, file: f, w: bufio.NewWriterSize(f, 1<<20)}
	const magic, version, snap, ethernet = 0xa1b23c4d, 2 | 4<<16, 1 << 16, 1
	c.words(magic, version, 0, 0, snap, ethernet)
	return c, nil
}

// words writes numbers in the order of octets that the magic number tells.
func (c *capture) words(all ...uint32) {
	for _, n := range all {
		c.put(binary.LittleEndian.AppendUint32(nil, n))
	}
}

func (c *capture) put(b []byte) {
	if _, err := c.w.Write(b); err != nil && c.err == nil {
		c.err = err
	}
}

// add keeps a frame.
func (c *capture) add(now time.Time, frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total++; c.kept >= captureLimit || c.file == nil {
		return
	}
	c.kept++
	size := uint32(len(frame))
	c.words(uint32(now.Unix()), uint32(now.Nanosecond()), size, size)
	c.put(frame)
}

// close completes the file. Frames that come later are counted only.
func (c *capture) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return c.err
	}
	err := errors.Join(c.err, c.w.Flush(), c.file.Close())
	c.file = nil
	return err
}

// Sizes in a capture's file.
const (
	fileHeader   = 24
	recordHeader = 16
)

// firstFrames cuts a capture after a number of frames.
func firstFrames(file []byte, n int) []byte {
	end := fileHeader
	for ; n > 0 && end+recordHeader <= len(file); n-- {
		end += recordHeader + int(binary.LittleEndian.Uint32(file[end+8:]))
	}
	return file[:min(end, len(file))]
}

func TestCapture(t *testing.T) {
	c, err := newCapture(filepath.Join(t.TempDir(), "x", "y.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	c.add(time.Unix(1, 2), []byte("frame"))
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	c.add(time.Unix(3, 4), []byte("late"))
	got, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	want := "\x4d\x3c\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\x00\x00\x00" +
		"\x01\x00\x00\x00\x02\x00\x00\x00\x05\x00\x00\x00\x05\x00\x00\x00frame"
	if two := append(got, got[fileHeader:]...); string(firstFrames(two, 1)) != want || len(firstFrames(two, 9)) != len(two) {
		t.Error("the first frame cannot be cut off")
	}
	if string(got) != want || c.total != 2 || c.kept != 1 {
		t.Errorf("the file is\n% x, want\n% x; %d of %d kept", got, want, c.kept, c.total)
	}
}
