package publish

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid"
)

// from is what another host wants.
func from(id HostID, addrs ...string) *Want {
	w := wanted(addrs...)
	w.Host = id
	return w
}

// addressesOnly leaves the capability record out.
func addressesOnly(w *Want) *Want {
	w.Cap = nil
	return w
}

// Two hosts that publish one name take nothing from each other, whatever the
// order in which they come, move and go.
func TestTwoHosts(t *testing.T) {
	w := newWorld(t, "")
	a, b := addressesOnly(from("a", "9.0.0.1")), addressesOnly(from("b", "9.0.0.2"))
	w.publish(a, 1)
	w.publish(b, 1)
	w.publish(a, 0)
	w.publish(b, 0)
	w.has(host, "A", "300 9.0.0.1", "300 9.0.0.2")
	w.has(service, "TXT", `300 "published-by=mh:a" "9.0.0.1"`, `300 "published-by=mh:b" "9.0.0.2"`)

	w.publish(addressesOnly(from("a", "9.0.0.11")), 1)
	w.publish(b, 0)
	w.has(host, "A", "300 9.0.0.11", "300 9.0.0.2")
	w.publish(Withdrawal(host, "a"), 1)
	w.publish(b, 0)
	w.has(host, "A", "300 9.0.0.2")
	w.has(service, "TXT", `300 "published-by=mh:b" "9.0.0.2"`)
}

// A low TTL of one host and a high one of the other are no reason to go on
// for ever: the set keeps that of who was there first.
func TestTwoHostsOfDifferentTTL(t *testing.T) {
	w := newWorld(t, "")
	a, b := from("a", "9.0.0.1"), from("b", "9.0.0.2")
	b.TTL = MovingTTL
	w.publish(a, 1)
	w.publish(b, 1)
	w.publish(a, 0)
	w.publish(b, 0)
	w.has(host, "A", "300 9.0.0.1", "300 9.0.0.2")
	w.has(service, "SVCB", svcb)
}

// What two hosts have published, such as an address of the translator that
// both are behind, goes with the second of them.
func TestSharedRecords(t *testing.T) {
	w := newWorld(t, "")
	w.publish(from("a", "9.0.0.1", "9.0.0.3"), 1)
	w.publish(from("b", "9.0.0.1"), 1)
	w.publish(from("a", "9.0.0.3"), 1)
	w.has(host, "A", "300 9.0.0.1", "300 9.0.0.3")
	w.publish(Withdrawal(host, "a"), 1)
	w.has(host, "A", "300 9.0.0.1")
	w.has(service, "SVCB", svcb)
	w.publish(Withdrawal(host, "b"), 1)
	w.has(host, "A")
	w.has(service, "SVCB")
	w.has(service, "TXT")
}

// Each host has a capability record of its own where they differ, and neither
// replaces the other's.
func TestTwoHostsOfDifferentPort(t *testing.T) {
	w := newWorld(t, "")
	a, b := from("a", "9.0.0.1"), from("b", "9.0.0.2")
	b.Cap.UDPPort = 9900
	w.publish(a, 1)
	w.publish(b, 1)
	w.publish(a, 0)
	w.publish(b, 0)
	w.has(service, "SVCB", svcb, strings.Replace(strings.Replace(svcb, "9899", "9900", 1), "300 1", "300 1", 1))
	w.publish(Withdrawal(host, "b"), 1)
	w.has(service, "SVCB", svcb)
}

// Hosts that publish at the same time do not lose one another's records.
func TestAtOnce(t *testing.T) {
	w := newWorld(t, "")
	const hosts = 4 // with six attempts each
	errs := make([]error, hosts)
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() {
			want := addressesOnly(from(HostID(fmt.Sprint("h", i)), fmt.Sprint("9.0.0.", i+1)))
			_, errs[i] = w.Publish(t.Context(), want)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("host %d: %v", i, err)
		}
	}
	w.has(host, "A", "300 9.0.0.1", "300 9.0.0.2", "300 9.0.0.3", "300 9.0.0.4")
	if n := len(w.dns.Records(service, dns.TypeTXT)); n != hosts {
		t.Errorf("%d markers, want %d", n, hosts)
	}
}

// What a host left behind that is gone for good is dropped by its id, but for
// what another needs.
func TestDrop(t *testing.T) {
	w := newWorld(t, "gw.example.net. 300 IN A 9.0.0.99\n")
	w.publish(from("gone", "9.0.0.1", "9.0.0.3"), 1)
	w.publish(from("there", "9.0.0.3", "9.0.0.2"), 1)
	w.publish(from("here", "9.0.0.4"), 1)

	want := from("here", "9.0.0.4")
	want.Drop = []HostID{"gonne"}
	_, err := w.Publish(t.Context(), want)
	wantError(t, err, "gw.example.net has nothing that host gonne published: those that did are gone, there, here")
	want.Drop = []HostID{"gone"}
	plan := w.publish(want, 1)
	wantChange(t, plan, "- gw.example.net. 300 IN A 9.0.0.1  ; of host gone")
	wantChange(t, plan, "  gw.example.net. 300 IN A 9.0.0.2  ; of host there")
	wantChange(t, plan, "  gw.example.net. 300 IN A 9.0.0.99  ; not published from here")
	w.has(host, "A", "300 9.0.0.2", "300 9.0.0.3", "300 9.0.0.4", "300 9.0.0.99")
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9899" "9.0.0.4"`, `300 "published-by=mh:there" "svcb=9899" "9.0.0.2" "9.0.0.3"`)
	w.has(service, "SVCB", svcb)

	w = newWorld(t, "")
	want.Drop = []HostID{"gone"}
	_, err = w.Publish(t.Context(), want)
	wantError(t, err, "no host has published there")
}

// Who is no host of the name can drop one without publishing anything.
func TestDropFromElsewhere(t *testing.T) {
	w := newWorld(t, "")
	w.publish(from("gone", "9.0.0.1"), 1)
	want := Withdrawal(host, "admin")
	want.Drop = []HostID{"gone"}
	w.publish(want, 1)
	w.has(host, "A")
	w.has(service, "SVCB")
	w.has(service, "TXT")
}

const oldMarker = service + ` 300 IN TXT "published-by=mh" "svcb" "9.0.0.1" "9.0.0.2"` + "\n"

// What a version without host ids has published becomes that of the host that
// has one of its addresses, and is kept current as before.
func TestOldMarker(t *testing.T) {
	records := oldMarker + host + " 300 IN A 9.0.0.1\n" + host + " 300 IN A 9.0.0.2\n" + host + " 300 IN A 9.0.0.9\n" +
		service + ` 300 IN SVCB 1 gw.example.net. port=9899 key65280="\001\001"` + "\n" + service + ` 300 IN TXT "v=mh1 udp=9899 f=1"` + "\n"
	w := newWorld(t, records)
	plan := w.publish(wanted("9.0.0.1", "9.0.0.11"), 1)
	if len(plan.Notes) != 0 {
		t.Errorf("notes %q", plan.Notes)
	}
	w.has(host, "A", "300 9.0.0.1", "300 9.0.0.11", "300 9.0.0.9")
	w.has(service, "SVCB", svcb)
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9899" "9.0.0.1" "9.0.0.11"`)
	w.publish(wanted("9.0.0.1", "9.0.0.11"), 0)

	w = newWorld(t, records)
	w.publish(Withdrawal(host, self), 1)
	w.has(host, "A", "300 9.0.0.9")
	w.has(service, "SVCB")
	w.has(service, "TXT")
}

// One that has no address of this host may be another's: it is left, and the
// operator told.
func TestOldMarkerOfAnother(t *testing.T) {
	records := oldMarker + host + " 300 IN A 9.0.0.1\n" + host + " 300 IN A 9.0.0.2\n"
	w := newWorld(t, records)
	plan := w.publish(wanted("9.0.0.11"), 1)
	wantNote(t, plan, "an older version of mh has published svcb, 9.0.0.1, 9.0.0.2 and does not say on which host: if it is gone, --drop unnamed")
	w.has(host, "A", "300 9.0.0.1", "300 9.0.0.11", "300 9.0.0.2")
	w.has(service, "TXT", `300 "published-by=mh" "svcb" "9.0.0.1" "9.0.0.2"`, `300 "published-by=mh:here" "svcb=9899" "9.0.0.11"`)
	w.publish(wanted("9.0.0.1"), 1) // a host with a marker of its own has no other
	w.has(host, "A", "300 9.0.0.1", "300 9.0.0.2")
	w.publish(Withdrawal(host, self), 1)
	w.has(host, "A", "300 9.0.0.1", "300 9.0.0.2")
	want := wanted("9.0.0.11")
	want.Drop = []HostID{Unnamed}
	w.publish(want, 1)
	w.has(host, "A", "300 9.0.0.11")
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9899" "9.0.0.11"`)
}

// The operator is told of other hosts where it matters.
func TestNotes(t *testing.T) {
	for _, test := range []struct {
		what        string
		other, want *Want
		note        string
	}{
		{"two machines of one capability", from("b", "9.0.0.2"), from("a", "9.0.0.1"), "host b has published other addresses, and a capability record says that all are of one machine"},
		{"only the other has one", from("b", "9.0.0.2"), addressesOnly(from("a", "9.0.0.1")), "host b has published other addresses"},
		{"only this one has", addressesOnly(from("b", "9.0.0.2")), from("a", "9.0.0.1"), "host b has published other addresses"},
		{"none has", addressesOnly(from("b", "9.0.0.2")), addressesOnly(from("a", "9.0.0.1")), ""},
		{"the id has changed", from("b", "9.0.0.1"), from("a", "9.0.0.1", "9.0.0.2"), "host b has published the same addresses"},
		{"taken back", from("b", "9.0.0.2"), Withdrawal(host, "a"), ""},
	} {
		w := newWorld(t, "")
		w.publish(test.other, 1)
		plan, err := w.Plan(t.Context(), test.want)
		switch {
		case err != nil:
			t.Fatal(err)
		case test.note == "" && len(plan.Notes) > 0:
			t.Errorf("%s: %q", test.what, plan.Notes)
		case test.note != "":
			wantNote(t, plan, test.note)
		}
	}
}

// All of others goes where that is wanted, their markers too.
func TestReplaceHosts(t *testing.T) {
	w := newWorld(t, "")
	w.publish(from("b", "9.0.0.2"), 1)
	want := from("a", "9.0.0.1")
	want.Replace = true
	w.publish(want, 1)
	w.has(host, "A", "300 9.0.0.1")
	w.has(service, "TXT", `300 "published-by=mh:a" "svcb=9899" "9.0.0.1"`)
}

// A set that somebody has filled is not read into an update that no message
// holds.
func TestTooManyRecords(t *testing.T) {
	var records strings.Builder
	for i := range maxRecords + 1 {
		fmt.Fprintf(&records, "%s 60 IN TXT \"%d\"\n", service, i)
	}
	w := newWorld(t, records.String())
	_, err := w.Publish(context.Background(), wanted("9.0.0.1"))
	wantError(t, err, "_mhsctp.gw.example.net. has 65 TXT records, and no more than 64 can be kept current")
}

func TestHostID(t *testing.T) {
	for s, want := range map[string]string{
		"": "want 1 to 63", "a b": "want 1 to 63", "a\"": "want 1 to 63", strings.Repeat("a", 64): "want 1 to 63", "unnamed": "stands for hosts without one",
		"a": "", "gw-1.Site_A": "", strings.Repeat("a", 63): "",
	} {
		id, err := ParseHostID(s)
		if want == "" && (err != nil || string(id) != s) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %q, %v, want %q", s, id, err, want)
		}
	}
}

// The id of a host is the same each time, another for each name and each
// machine, and shows nothing of the machine-id.
func TestOwnID(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	const machine = "0123456789abcdef0123456789abcdef"
	one, other := file("one", machine+"\n"), file("other", "f"+machine[1:]+"\n")
	seen := make(map[HostID]bool)
	for _, f := range []string{one, other} {
		for _, n := range []noid.Name{host, "www.example.net."} {
			id, err := ownID(n, []string{filepath.Join(dir, "none"), f})
			if err != nil {
				t.Fatal(err)
			}
			again, err := ownID(n, []string{f})
			if err != nil || again != id || seen[id] || len(id) != 12 || strings.Contains(machine, string(id)) {
				t.Errorf("%s of %s: %q, again %q, %v", n, f, id, again, err)
			}
			seen[id] = true
		}
	}
	if id, _ := ownID(host, []string{one}); id != "e8aa25c018fb" {
		t.Errorf("%q: an id that changes with a version leaves its records behind", id)
	}
	for _, bad := range []string{"", "uninitialized\n", machine[2:] + "\n", "x" + machine[1:] + "\n"} {
		_, err := ownID(host, []string{file("bad", bad)})
		wantError(t, err, "no machine-id")
	}
}

// Whatever a TXT record holds, a marker that is read is written and read again
// as it was.
func FuzzMarker(f *testing.F) {
	f.Add("published-by=mh", "svcb", "9.0.0.1")
	f.Add("published-by=mh:a", "svcb=9899", "::ffff:9.0.0.1")
	f.Add("published-by=mh:", "txt=", "fe80::1%eth0")
	f.Fuzz(func(t *testing.T, first, second, third string) {
		m, ok := parseMarker(&dns.TXT{Txt: []string{first, second, third}})
		if !ok {
			return
		}
		m.addrs()
		m.service()
		again, ok := parseMarker(m.record(dns.RR_Header{}))
		if m.host == Unnamed {
			return // is never written
		}
		if !ok || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Fatalf("%v, read again %v", m, again)
		}
		if len(m.items) > 0 && !again.holds(m.items[0]) {
			t.Fatalf("%v does not hold what it has", again)
		}
	})
}

func wantNote(t *testing.T, p *Plan, want string) {
	t.Helper()
	if all := strings.Join(p.Notes, "\n"); !strings.Contains(all, want) {
		t.Errorf("notes:\n%s\nwant %q", all, want)
	}
}

// wantChange demands a line of the difference.
func wantChange(t *testing.T, p *Plan, want string) {
	t.Helper()
	var b strings.Builder
	if err := p.WriteDiff(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains("\n"+b.String(), "\n"+want+"\n") {
		t.Errorf("difference:\n%swant %q", b.String(), want)
	}
}
