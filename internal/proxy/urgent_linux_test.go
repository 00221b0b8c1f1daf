package proxy

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A telnet client's Synch comes to the peer as urgent as it was sent.
func TestUrgentFromAClient(t *testing.T) {
	s := newStage(t)
	client, server := s.open("gw.example.net", 23)
	_, err := io.WriteString(client, "ab")
	s.must(err)
	raw, err := client.(*net.TCPConn).SyscallConn()
	s.must(err)
	s.must(raw.Control(func(fd uintptr) { err = unix.Send(int(fd), []byte{0xf2}, unix.MSG_OOB) }))
	s.must(err)
	s.must(server.SetReadDeadline(time.Now().Add(10 * time.Second)))
	b := make([]byte, 2)
	_, err = io.ReadFull(server, b)
	s.must(err)
	n, urgent, err := server.ReadUrgent(b)
	if err != nil || !urgent || n != 1 || b[0] != 0xf2 {
		t.Errorf("after %q came %x, urgent: %v, %v, want the urgent octet f2", "ab", b[:n], urgent, err)
	}
}
