package noid

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/dnstest"
)

// Every question is told once, with who answered; a second time nobody is
// asked.
func TestExplainQuestions(t *testing.T) {
	w := newWorld(t, Config{})
	for _, cached := range []bool{false, true} {
		e, err := w.Explain(t.Context(), "www.example.net", 0)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		for _, q := range e.Questions {
			key := q.Type + " " + q.Name
			if seen[key] {
				t.Errorf("%s comes twice", key)
			}
			seen[key] = true
			if q.Upstream != w.dns.Addr() || q.Rcode == "" || q.Cached != cached {
				t.Errorf("%s: %+v", key, q)
			}
		}
		for _, want := range []string{"SVCB _mhsctp.www.example.net.", "A www.example.net.", "AAAA h1.example.net.", "PTR 11.0.0.9.in-addr.arpa."} {
			if !seen[want] {
				t.Errorf("%s is missing in %v", want, seen)
			}
		}
		w.advance(time.Second)
		if len(e.Hosts) != 2 || e.Hosts[0].Name != "h1.example.net." {
			t.Errorf("hosts %v", e.Hosts)
		}
	}
}

// Whoever traces nothing is told nothing, and lookups of others are not mixed
// in.
func TestTraceIsOfItsContext(t *testing.T) {
	w := newWorld(t, Config{})
	var tr tracing
	w.lookup(tr.trace(t.Context()), "h2.example.net.", 1)
	w.lookup(t.Context(), "h1.example.net.", 1)
	if got := tr.questions(); len(got) != 1 || got[0].Name != "h2.example.net." {
		t.Errorf("%v", got)
	}
	if n := testing.AllocsPerRun(100, func() { w.trace(t.Context(), question{}, w.Resolver.now(), answer{}) }); n > 1 {
		t.Errorf("%v allocations without a trace", n)
	}
}

// What an explanation says of second paths is what associations are permitted.
func TestSecondIsWhatIsPermitted(t *testing.T) {
	for _, mode := range []Trust{Opportunistic, Reverse, Pinned, Single} {
		w := newWorld(t, Config{Trust: mode})
		e, err := w.Explain(t.Context(), "www.example.net", 0)
		if err != nil {
			t.Fatal(err)
		}
		res, err := w.Resolve(t.Context(), "www.example.net", 80)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range res.MH {
			may := make(map[netip.Addr]bool)
			for _, l := range s.Locators {
				for _, v := range s.Permit(l.Addr, PeerView{Silent: true})[1:] {
					may[v.Addr] = true
				}
			}
			addrs, why := e.Second(i, mode)
			if len(addrs) != len(may) || (len(addrs) == 0) != (why != "") {
				t.Errorf("%v: %s: told %v (%s), permitted %v", mode, s.Name, addrs, why, may)
			}
		}
	}
}

// The primary of a zone is found from the name up, and not by an alias.
func TestZonePrimary(t *testing.T) {
	w := newWorld(t, Config{})
	w.serve(zone + `
example.net.     IN SOA ns.inner.example.net. hostmaster 1 2 3 4 5
ns.inner.example.net. IN A 10.0.0.53
aliased          IN CNAME example.org.
example.org.     IN SOA ns.example.org. hostmaster 1 2 3 4 5
`)
	for _, name := range []Name{"www.example.net.", "a.b.example.net.", "aliased.example.net.", "example.net."} {
		p, err := w.ZonePrimary(t.Context(), name)
		if err != nil || p.Zone != "example.net." || p.Server != "ns.inner.example.net." || fmt.Sprint(p.Addrs) != "[10.0.0.53]" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if _, err := w.ZonePrimary(t.Context(), "example.com."); !errors.Is(err, ErrNoData) {
		t.Errorf("a name without zone: %v", err)
	}
	if _, err := w.ZonePrimary(t.Context(), "example.org."); err == nil || !strings.Contains(err.Error(), "ns.example.org., the primary of example.org.") {
		t.Errorf("a primary without address: %v", err)
	}
}

// serve replaces the records of the world's server.
func (w *world) serve(records string) {
	w.t.Helper()
	if err := w.dns.SetZone(records); err != nil {
		w.t.Fatal(err)
	}
}

func TestSelfCheck(t *testing.T) {
	w := newWorld(t, Config{})
	for _, test := range []struct{ name, local, want string }{
		{"laptop.example.net.", "9.0.1.1 9.0.1.2", ""},
		{"laptop.example.net.", "9.0.1.1", ""},
		{"laptop.example.net.", "9.0.1.1 9.0.1.3", "laptop.example.net lacks 9.0.1.3"},
		{"laptop.example.net.", "9.0.2.1", "has none of this host's addresses, so peers do not believe that it is: it has 9.0.1.1, 9.0.1.2, this host 9.0.2.1: mh dns publish laptop.example.net sets it right"},
		{"laptop.example.net.", "192.168.1.2 fd00::2", ""}, // behind a translator
		{"nobody.example.net.", "9.0.1.1", "nobody.example.net has no address"},
	} {
		var local []netip.Addr
		for _, a := range strings.Fields(test.local) {
			local = append(local, netip.MustParseAddr(a))
		}
		rep := w.SelfCheck(context.Background(), Name(test.name), local)
		if got := rep.Problem(); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s with %s: %q, want %q", test.name, test.local, got, test.want)
		}
	}
	w.dns.SetFault("laptop2.example.net", dnstest.Fault{Rcode: 2})
	rep := w.SelfCheck(t.Context(), "laptop2.example.net.", nil)
	if want := "whether laptop2.example.net has the addresses of this host is not known"; !strings.HasPrefix(rep.Problem(), want) {
		t.Errorf("%q, want %q", rep.Problem(), want)
	}
	if rep := w.SelfCheck(t.Context(), "h1.example.net.", nil); rep.Capable {
		t.Error("a host that is only the target of another name is capable itself")
	}
}
