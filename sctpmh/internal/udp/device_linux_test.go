package udp

import (
	"net/netip"
	"testing"
)

func TestLoopbackIsNoUplink(t *testing.T) {
	if d := device(netip.MustParseAddr("127.0.0.1")); d != "" {
		t.Errorf("127.0.0.1 is bound to %s", d)
	}
	if d := device(netip.MustParseAddr("192.0.2.1")); d != "" {
		t.Errorf("an address that nobody has is bound to %s", d)
	}
}

func TestInfoKind(t *testing.T) {
	for in, want := range map[string]string{
		"\x0a\x00\x01\x00dummy\x00\x00\x00":                 "dummy",
		"\x05\x00\x02\x00x\x00\x00\x00\x08\x00\x01\x00veth": "veth",
		"\x03\x00\x01\x00":                                  "", "\xff\x00\x01\x00": "", "": "", "\x04": "",
	} {
		if got := infoKind([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
