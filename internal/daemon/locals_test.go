package daemon

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sctpmh/mh/internal/config"
)

func wantLocals(t *testing.T, h *Host, what string, want ...string) {
	t.Helper()
	var got []string
	for _, l := range h.Endpoint.Addrs() {
		got = append(got, l.Addr().String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: the addresses are %v, want %v", what, got, want)
	}
}

// Where the daemon chose the addresses it follows the host; the last one stays
// until there is another.
func TestLocalsFollowTheHost(t *testing.T) {
	h := started(t, "", "127.0.3.1")
	h.locals.named = false // as if it had found the address itself
	come := func(a string, there bool) { h.locals.changed(netip.MustParseAddr(a), there) }
	come("127.0.3.2", true)
	wantLocals(t, h, "one more", "127.0.3.1", "127.0.3.2")
	come("127.0.3.1", false)
	wantLocals(t, h, "the first has gone", "127.0.3.2")
	come("127.0.3.2", false)
	wantLocals(t, h, "the last has gone", "127.0.3.2")
	come("127.0.3.3", true)
	wantLocals(t, h, "another comes", "127.0.3.3")
	come("127.0.3.9", false)
	come("192.0.2.1", true) // it has gone again
	wantLocals(t, h, "what is none of the host's", "127.0.3.3")
	come("127.0.3.3", false)
	come("127.0.3.3", true)
	come("127.0.3.4", true)
	wantLocals(t, h, "the last came back in time", "127.0.3.3", "127.0.3.4")
}

// An address that the user named and that is not there does not keep the others
// from working. It is added when it comes, and none is removed.
func TestNamedLocalComesLater(t *testing.T) {
	c := &config.DefaultSocks().Common
	for _, a := range []string{"192.0.2.1", "127.0.3.1"} {
		c.Transport.Local = append(c.Transport.Local, config.Address{Addr: netip.MustParseAddr(a)})
	}
	var log bytes.Buffer
	h, err := Start(c, &log, false)
	if err != nil {
		t.Fatal(err)
	}
	wantLocals(t, h, "at first", "127.0.3.1")
	if h.locals.unfollow == nil {
		t.Error("nobody waits for the other address")
	}
	h.locals.stop()
	h.locals.changed(netip.MustParseAddr("127.0.3.2"), true)
	h.locals.changed(netip.MustParseAddr("127.0.3.1"), false)
	wantLocals(t, h, "later", "127.0.3.1", "127.0.3.2")
	h.Close()
	if !strings.Contains(log.String(), "a local address is not there") || !strings.Contains(log.String(), "192.0.2.1") {
		t.Errorf("the log says nothing of the address that is missing:\n%s", log.String())
	}
}

// The kernel's addresses are all there or it does not begin.
func TestKernelFollowsNobody(t *testing.T) {
	c := &config.DefaultSocks().Common
	c.Transport.Backend = config.BackendKernel
	c.Transport.Local = []config.Address{{Addr: netip.MustParseAddr("192.0.2.1")}, {Addr: netip.MustParseAddr("127.0.3.1")}}
	if out, absent, err := localAddrs(c); len(out) != 2 || len(absent) > 0 || err != nil {
		t.Errorf("%v, %v, %v", out, absent, err)
	}
}
