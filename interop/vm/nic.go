package vm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/sctpmh/mh/interop/vm/talk"
	"golang.org/x/sys/unix"
)

// A NIC is a network device of the guest, eth0 for the first one.
type NIC struct {
	Addrs  []netip.Prefix
	Routes []Route

	// Tap is the other end, a TAP device, which nobody else may read from then
	// on. When it is nil, VM.Frames is.
	Tap *os.File
}

// A Route leads to a prefix by way of a router.
type Route = talk.Route

// hardwareAddr is the address of the i-th NIC of a guest. Guests count, so
// that two of them can be on one network.
func hardwareAddr(guest, i int) string {
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", guest>>8&0xff, guest&0xff, i)
}

// maxFrame is more than any frame is long.
const maxFrame = 1 << 16

// Frames is the other end of a NIC: each Read returns an Ethernet frame, each
// Write takes one, without the check sequence. It may be read from by one and
// written to by others at the same time. On the socket each frame follows its
// length, 4 octets in network order: many are read at once, for half of the
// processor's time that a socket of datagrams takes here, at the same rate.
type Frames struct {
	conn net.Conn
	in   *bufio.Reader

	writing sync.Mutex // one frame's octets are together
	out     []byte
}

func newFrames(conn net.Conn) *Frames {
	return &Frames{conn: conn, in: bufio.NewReaderSize(conn, 4*maxFrame)}
}

// Read waits for the next frame that the guest sends. io.EOF says that the
// guest is gone, net.ErrClosed that Close was called. What buf has no room for
// is lost.
func (f *Frames) Read(buf []byte) (int, error) {
	var header [4]byte
	if _, err := io.ReadFull(f.in, header[:]); err != nil {
		return 0, ended(err)
	}
	length := int(binary.BigEndian.Uint32(header[:]))
	n, err := io.ReadFull(f.in, buf[:min(len(buf), length)])
	if err == nil {
		_, err = f.in.Discard(length - n)
	}
	return n, ended(err)
}

// ended makes one error of the ways in which a guest goes: between frames or
// within one, with frames that it has not read or without.
func ended(err error) error {
	if err == nil || errors.Is(err, net.ErrClosed) {
		return err
	}
	return io.EOF
}

// Write sends a frame to the guest. It waits while the guest's queue is full.
func (f *Frames) Write(frame []byte) (int, error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.out = binary.BigEndian.AppendUint32(f.out[:0], uint32(len(frame)))
	f.out = append(f.out, frame...)
	if _, err := f.conn.Write(f.out); err != nil {
		return 0, err
	}
	return len(frame), nil
}

// Close ends reads and writes that wait.
func (f *Frames) Close() error { return f.conn.Close() }

// socketPair returns two ends of a stream, one to be handed to a child.
func socketPair(name string) (ours net.Conn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("a socket for %s: %w", name, err)
	}
	near := os.NewFile(uintptr(fds[0]), name)
	defer near.Close() // ours is a duplicate
	theirs = os.NewFile(uintptr(fds[1]), name)
	if ours, err = net.FileConn(near); err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("a socket for %s: %w", name, err)
	}
	return ours, theirs, nil
}
