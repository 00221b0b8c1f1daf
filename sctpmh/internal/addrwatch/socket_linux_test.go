package addrwatch

import (
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A dump ends with its own last message, whatever else comes, and says what
// was wrong with the answer.
func TestDump(t *testing.T) {
	const seq = 1 // of a socket's first request
	part := func(kind, flags uint16, seq uint32, body ...byte) []byte {
		b := native.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
		b = native.AppendUint16(native.AppendUint16(b, kind), flags)
		return append(native.AppendUint32(native.AppendUint32(b, seq), 0), body...)
	}
	link := func(flags uint16) []byte {
		return part(unix.RTM_NEWLINK, flags, seq, make([]byte, unix.SizeofIfInfomsg)...)
	}
	done, code := part(unix.NLMSG_DONE, 0, seq, 0, 0, 0, 0), int32(unix.EBUSY)
	refusal := native.AppendUint32(nil, uint32(-code))
	short := link(0)[:20]
	for _, test := range []struct {
		name      string
		datagrams [][]byte
		links     int
		err       error
	}{
		{"one datagram", [][]byte{slices.Concat(link(0), link(0), done)}, 2, nil},
		{"several datagrams", [][]byte{link(0), link(0), done}, 2, nil},
		{"nothing", [][]byte{done}, 0, nil},
		{"an old answer before", [][]byte{part(unix.RTM_NEWLINK, unix.NLM_F_DUMP_INTR, 0), part(unix.NLMSG_DONE, 0, 0), link(0), done}, 1, nil},
		{"refused", [][]byte{part(unix.NLMSG_ERROR, 0, seq, refusal...)}, 0, unix.EBUSY},
		{"given up by the kernel", [][]byte{link(0), part(unix.NLMSG_DONE, 0, seq, refusal...)}, 1, unix.EBUSY},
		{"interrupted", [][]byte{link(0), link(unix.NLM_F_DUMP_INTR), done}, 2, errInterrupted},
		{"interrupted at the end", [][]byte{link(0), part(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR, seq)}, 1, errInterrupted},
		{"malformed", [][]byte{part(unix.RTM_NEWLINK, 0, seq, 1, 2, 3, 4), link(0), done}, 2, errMalformed},
		{"truncated", [][]byte{slices.Concat(link(0), short), link(0), done}, 2, errMalformed},
		{"the last one truncated", [][]byte{done[:12], done}, 0, errMalformed},
		{"without an end", [][]byte{link(0), nil}, 1, io.EOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			ours, kernel := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "kernel")
			defer ours.Close()
			defer kernel.Close()
			for _, d := range test.datagrams {
				if err := unix.Send(fds[1], d, 0); err != nil {
					t.Fatal(err)
				}
			}
			links, s := 0, empty()
			err = (&socket{File: ours}).dump(unix.RTM_GETLINK, func(m message) bool {
				links++
				return s.add(m)
			})
			if links != test.links || !errors.Is(err, test.err) {
				t.Errorf("%d links, %v; want %d, %v", links, err, test.links, test.err)
			}
			request := make([]byte, 64)
			n, err := kernel.Read(request)
			if m, rest, ok := nextMessage(request[:n]); err != nil || !ok || len(rest) != 0 || m.kind != unix.RTM_GETLINK || m.seq != seq || m.flags != unix.NLM_F_REQUEST|unix.NLM_F_DUMP {
				t.Errorf("request %x, %v", request[:n], err)
			}
		})
	}
}
