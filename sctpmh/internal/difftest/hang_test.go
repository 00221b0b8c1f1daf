package difftest

import (
	"encoding/binary"
	"errors"
	"os/exec"
	"syscall"
	"testing"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// hangs reports whether a packet stops usrsctp 0.9.5 for ever: in an INIT for an
// association that there is, it looks for new addresses, and goes from one
// parameter to the next by a length that may be zero (its report 570; mended
// after that release, in commit c08562ec).
func hangs(packet []byte) bool {
	const params = wire.HeaderLen + 20
	if len(packet) <= wire.HeaderLen || packet[wire.HeaderLen] != byte(wire.TypeInit) {
		return false
	}
	for at := params; at+4 <= len(packet); {
		n := int(binary.BigEndian.Uint16(packet[at+2:]))
		if n == 0 {
			return true
		}
		at += (n + 3) &^ 3
	}
	return false
}

// One packet without a tag, from the peer's address, stops usrsctp. Ours
// discards it and goes on.
func TestHang(t *testing.T) {
	packet := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000})
	packet = wire.AppendChunk(packet, wire.TypeInit, 0, []byte{0, 0, 0, 11, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 200, 0xff, 1, 0, 0})
	if !hangs(packet) {
		t.Fatal("the packet is not one of those")
	}
	o := new(ours)
	b, err := establish(o)
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(o.feed(packet)); got != "silence" {
		t.Errorf("we answer %s", got)
	}
	beat, err := wire.ParseText("4000>5000 tag=00000007 HEARTBEAT{info=01020304}")
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(o.feed(b.address(beat))); got != "HEARTBEAT-ACK" {
		t.Errorf("after that we answer %s to a HEARTBEAT", got)
	}

	u, cmd := launch(t)
	if _, err := establish(u); err != nil {
		t.Fatal(err)
	}
	if _, err := u.exchange(packet); err == nil {
		t.Fatal("usrsctp answers: the difference is gone")
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGALRM {
		t.Errorf("the program ended with %v, not by its alarm", err)
	}
}
