package noid

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/dnstest"
)

// N14: the static file counts before the DNS, or beside it, and is read again
// when it has changed, all of it or nothing.
func TestN14Reload(t *testing.T) {
	d := newServer(t, "h.example.net. 60 IN A 9.0.0.1\nboth.example.net. 60 IN A 9.0.0.2\nblocked.example.net. 60 IN A 9.0.0.3\n")
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		dir := t.TempDir()
		file, system := filepath.Join(dir, "hosts"), filepath.Join(dir, "system")
		write := func(file, text string) {
			t.Helper()
			if err := os.WriteFile(file+"~", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+"~", file); err != nil {
				t.Fatal(err)
			}
		}
		write(file, "h.example.net udp=9900 10.0.0.1\nboth.example.net merge 9.0.0.9 10.0.0.9\n")
		w := newBubble(t, Config{HostsFile: file, SystemHosts: system, Logger: slog.New(slog.NewTextHandler(&log, nil))}, d)
		ask := func(n string) string { return ips(w.resolve(n).Legacy.Locators) }
		want(t, "N14 static", ask("h.example.net"), "10.0.0.1")
		want(t, "N14 merged", ask("both.example.net"), "10.0.0.9 9.0.0.2 9.0.0.9")

		write(file, "h.example.net 10.0.0.2\n")
		time.Sleep(networkPoll)
		want(t, "N14 changed", ask("h.example.net"), "10.0.0.2")

		write(file, "h.example.net 10.0.0.3\nnonsense!\n")
		time.Sleep(networkPoll)
		want(t, "N14 broken", ask("h.example.net"), "10.0.0.2")
		if !strings.Contains(log.String(), file+":2:") {
			t.Errorf("N14 the line is not said: %s", log.String())
		}
		if err := w.Reload(); err == nil || !strings.Contains(err.Error(), file+":2:") {
			t.Errorf("N14 Reload: %v", err)
		}

		write(file, "deny 9.0.0.0/24\nzone private example.net 10.0.0.0/8\n")
		if err := w.Reload(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Resolve(t.Context(), "h.example.net", 80); !errors.Is(err, ErrPolicy) {
			t.Errorf("N14 denied: %v", err)
		}

		write(file, "")
		write(system, "127.0.0.1 localhost\n10.0.0.7 h.example.net other # one\n::1 h.example.net\nfe80::1%eth0 h.example.net\n0.0.0.0 blocked.example.net\nrubbish\n")
		time.Sleep(networkPoll)
		want(t, "N14 the system's", ask("h.example.net"), "10.0.0.7 ::1")
		want(t, "N14 a name without dots", ask("other"), "10.0.0.7")
		if _, err := w.Resolve(t.Context(), "blocked.example.net", 80); !errors.Is(err, ErrPolicy) {
			t.Errorf("N14 blocked: %v", err)
		}
		if s, err := w.Verify(t.Context(), addr("10.0.0.7"), ""); err == nil {
			t.Errorf("N14 the system's file names a peer that claims nothing: %+v", s)
		}
		if s, err := w.Verify(t.Context(), addr("10.0.0.7"), "h.example.net"); err != nil || s.Binding != BindingStatic {
			t.Errorf("N14 %+v, %v", s, err)
		}
	})
}

// N14: with the server gone, what the file knows is found without a question.
func TestN14WithoutServer(t *testing.T) {
	d := newServer(t, "")
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "hosts")
		if err := os.WriteFile(file, []byte("gw.example.net udp=9900 10.0.0.1 10.1.0.1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w := newBubble(t, Config{HostsFile: file, Trust: Pinned}, d)
		d.SetFault("gw.example.net", dnstest.Fault{Silent: true})
		if n := w.asks(func() {
			r := w.resolve("gw.example.net")
			if len(r.MH) != 1 || r.MH[0].Binding != BindingStatic || r.MH[0].Channel != ChanLocal {
				t.Errorf("N14 %+v", r)
			}
			want(t, "N14 permitted", ips(r.MH[0].Permit(addr("10.0.0.1"), PeerView{Silent: true})), "10.0.0.1 10.1.0.1")
			var told []Candidate
			for c := range w.Stream(t.Context(), "gw.example.net", 80) {
				told = append(told, c)
			}
			if len(told) != 2 || told[0].Set.Cap == nil {
				t.Errorf("N14 stream: %+v", told)
			}
			if s, err := w.Verify(t.Context(), addr("10.1.0.1"), ""); err != nil || s.Name != "gw.example.net." {
				t.Errorf("N14 %+v, %v", s, err)
			}
		}); n != 0 {
			t.Errorf("N14 %d questions", n)
		}
	})
}
