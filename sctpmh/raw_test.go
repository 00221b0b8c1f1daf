package sctpmh

import (
	"errors"
	"os"
	"testing"
)

// The same engine over IP itself: data arrives, and paths have no UDP ports.
func TestRawTransfer(t *testing.T) {
	cfg := &Config{Backend: Raw}
	f, err := Listen(addrs("127.0.2.1:9899", "127.0.2.2:9899"), cfg)
	if errors.Is(err, os.ErrPermission) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	e := listen(t, cfg, "127.0.3.1:0", "127.0.3.2:0")
	a, b := connect(t, e, f, addrs("127.0.2.1:9899", "127.0.2.2:9899"))
	transfer(t, a, b, 1<<20, 1200)
	transfer(t, b, a, 1<<20, 50_000)
	for _, p := range append(a.Paths(), b.Paths()...) {
		if p.Local.Port() != 0 || p.Remote.Port() != 0 {
			t.Errorf("path %v > %v has UDP ports", p.Local, p.Remote)
		}
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
