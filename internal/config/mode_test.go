package config

import (
	"strings"
	"testing"
)

// All paths at once is for both daemons, and not for the kernel's SCTP.
func TestMode(t *testing.T) {
	text := "[transport]\nmode = \"aggregate\"\n"
	s, err := LoadSocks(file(t, text))
	if err != nil || s.Transport.Mode != ModeAggregate || s.Transport.CheckMode() != nil {
		t.Errorf("mh-socks: mode %q, %v", s.Transport.Mode, err)
	}
	g, err := LoadGateway(file(t, text+"backend = \"kernel\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Transport.CheckMode(); err == nil || !strings.Contains(err.Error(), "transport.mode") {
		t.Errorf("over the kernel: %v", err)
	}
	if err := DefaultGateway().Transport.CheckMode(); err != nil {
		t.Errorf("by default: %v", err)
	}
}
