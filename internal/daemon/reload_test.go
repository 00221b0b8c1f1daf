package daemon

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/mhdial"
	"github.com/sctpmh/mh/noid"
)

// SIGHUP has the hosts files read again, and a mistake in one leaves what was
// known.
func TestHangupReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("h.example.net 9.0.0.1\n")
	names, err := noid.New(noid.Config{HostsFile: file, Upstreams: []noid.Upstream{{}}})
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	lines, w := io.Pipe()
	h := &Host{Log: slog.New(slog.NewTextHandler(w, nil)), Names: &mhdial.Resolver{Noid: names}, cfg: new(config.Common)}
	logged := func() string {
		b := make([]byte, 1<<10)
		n, _ := lines.Read(b)
		return string(b[:n])
	}
	address := func() (out netip.Addr) {
		r, err := names.Resolve(t.Context(), "h.example.net", 80)
		if err != nil {
			t.Fatal(err)
		}
		return r.Legacy.Locators[0].Addr
	}
	err = h.RunUntilSignal(t.Context(), func(context.Context) error {
		for text, want := range map[string]string{"h.example.net 9.0.0.2\n": "read again", "h.example.net 9.0.0.3\nwhat?\n": file + ":2:"} {
			before := address()
			write(text)
			if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
				return err
			}
			if line := logged(); !strings.Contains(line, want) {
				t.Errorf("logged %q, want %q", line, want)
			}
			if changed := address() != before; changed != (want == "read again") {
				t.Errorf("after %q the address is %v", want, address())
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
