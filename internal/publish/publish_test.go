package publish

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/noid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	host    = "gw.example.net."
	self    = "here" // the id of the host that publishes
	service = "_mhsctp.gw.example.net."
	secret  = "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgb2N0ZXRzIQ=="
	soa     = "example.net. 300 IN SOA ns.example.net. hostmaster.example.net. 1 3600 600 86400 60\n"
)

// world is a primary server with a zone, and what a host has to do with it.
type world struct {
	*testing.T
	dns *dnstest.Primary
	*Primary
}

func newWorld(t *testing.T, records string) *world {
	t.Helper()
	d, err := dnstest.NewPrimary("127.0.0.1:0", "example.net", soa+records, map[string]string{"k.": secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	w := &world{T: t, dns: d}
	if w.Primary, err = FindZone(t.Context(), netip.MustParseAddrPort(d.Addr()), testKey(t), host); err != nil {
		t.Fatal(err)
	}
	return w
}

func testKey(t *testing.T) *Key {
	t.Helper()
	k, err := ParseKey(`key "k" { algorithm hmac-sha256; secret "` + secret + `"; };`)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wanted is a host with addresses that speaks mh.
func wanted(addrs ...string) *Want {
	w := &Want{Name: host, Host: self, TTL: 300, Cap: &noid.Capability{Target: host, UDPPort: 9899, SCTPPort: 5000, Flags: noid.FlagEmul}}
	for _, a := range addrs {
		w.Addrs = append(w.Addrs, netip.MustParseAddr(a))
	}
	return w
}

// publish publishes and demands as many updates as it takes.
func (w *world) publish(want *Want, updates int) *Plan {
	w.Helper()
	before := w.dns.Updates()
	plan, err := w.Publish(w.Context(), want)
	if err != nil {
		w.Fatal(err)
	}
	if n := w.dns.Updates() - before; n != updates {
		w.Errorf("%d updates, want %d", n, updates)
	}
	return plan
}

// has demands the records of a name and type, without their owner, class and
// type.
func (w *world) has(owner, qtype string, want ...string) {
	w.Helper()
	var got []string
	for _, r := range w.dns.Records(owner, dns.StringToType[qtype]) {
		f := strings.SplitN(r, " ", 5)
		got = append(got, f[1]+" "+f[4])
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("%s %s:\n got %q\nwant %q", owner, qtype, got, want)
	}
}

const svcb = `300 1 gw.example.net. mandatory="key65280" port="9899" key65280="\001\001" key65281="\019\136"`

// A host that comes, stays, changes an address and goes.
func TestPublish(t *testing.T) {
	w := newWorld(t, "")
	w.publish(wanted("9.0.0.11", "2a00:a::11"), 1)
	w.has(host, "A", "300 9.0.0.11")
	w.has(host, "AAAA", "300 2a00:a::11")
	w.has(service, "SVCB", svcb)
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9899" "9.0.0.11" "2a00:a::11"`)

	if plan := w.publish(wanted("2a00:a::11", "9.0.0.11"), 0); !plan.Empty() {
		t.Errorf("the second run would change %v", plan.Changes)
	}
	w.publish(wanted("9.0.0.12", "2a00:a::11"), 1)
	w.has(host, "A", "300 9.0.0.12")
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9899" "9.0.0.12" "2a00:a::11"`)

	moving := wanted("9.0.0.12", "2a00:a::11")
	moving.TTL = MovingTTL
	plan := w.publish(moving, 1)
	wantChange(t, plan, "- gw.example.net. 300 IN A 9.0.0.12  ; TTL becomes 30")
	wantChange(t, plan, "+ gw.example.net. 30 IN A 9.0.0.12")
	w.has(host, "A", "30 9.0.0.12")
	w.publish(moving, 0)

	w.publish(Withdrawal(host, self), 1)
	for _, q := range []string{"A", "AAAA"} {
		w.has(host, q)
	}
	w.has(service, "SVCB")
	w.has(service, "TXT")
	w.publish(Withdrawal(host, self), 0)
}

const foreign = `
gw.example.net.          60 IN A    9.0.0.99
gw.example.net.          60 IN A    9.0.0.98
_mhsctp.gw.example.net.  60 IN SVCB 2 other.example.net. port=9899 key65280="\001\001"
_mhsctp.gw.example.net.  60 IN TXT  "somebody else's"
`

// Records of others stay, and keep the TTL of the set that they share.
func TestOthersStay(t *testing.T) {
	w := newWorld(t, foreign)
	w.publish(wanted("9.0.0.11"), 1)
	w.has(host, "A", "60 9.0.0.11", "60 9.0.0.98", "60 9.0.0.99")
	w.has(service, "SVCB", "60 "+strings.TrimPrefix(svcb, "300 "), `60 2 other.example.net. port="9899" key65280="\001\001"`)
	w.has(service, "TXT", `60 "published-by=mh:here" "svcb=9899" "9.0.0.11"`, `60 "somebody else's"`)
	w.publish(wanted("9.0.0.11"), 0)

	w.publish(wanted("9.0.0.12"), 1)
	w.has(host, "A", "60 9.0.0.12", "60 9.0.0.98", "60 9.0.0.99")
	w.publish(Withdrawal(host, self), 1)
	w.has(host, "A", "60 9.0.0.98", "60 9.0.0.99")
	w.has(service, "TXT", `60 "somebody else's"`)
}

// An address that was entered by hand is ours once it is published, not
// before.
func TestAddressEnteredByHand(t *testing.T) {
	w := newWorld(t, foreign)
	w.publish(Withdrawal(host, self), 0)
	w.publish(wanted("9.0.0.99"), 1)
	w.has(service, "TXT", `60 "published-by=mh:here" "svcb=9899" "9.0.0.99"`, `60 "somebody else's"`)
	w.publish(wanted("9.0.0.11"), 1)
	w.has(host, "A", "60 9.0.0.11", "60 9.0.0.98")
}

// A capability record that somebody else entered stays where none is wanted
// from here, and goes where it was published from here.
func TestAddressesOnly(t *testing.T) {
	w := newWorld(t, service+` 300 IN SVCB 1 gw.example.net. port=9900 key65280="\001\001"`)
	only := wanted("9.0.0.11")
	only.Cap = nil
	w.publish(only, 1)
	w.has(service, "SVCB", `300 1 gw.example.net. port="9900" key65280="\001\001"`)
	w.has(service, "TXT", `300 "published-by=mh:here" "9.0.0.11"`)
	w.publish(Withdrawal(host, self), 1)
	w.has(service, "SVCB", `300 1 gw.example.net. port="9900" key65280="\001\001"`)

	w = newWorld(t, "")
	w.publish(wanted("9.0.0.11"), 1)
	w.has(service, "SVCB", svcb)
	w.publish(only, 1)
	w.has(service, "SVCB")
	w.has(host, "A", "300 9.0.0.11")
}

func TestReplace(t *testing.T) {
	w := newWorld(t, foreign)
	want := wanted("9.0.0.11")
	want.Replace = true
	w.publish(want, 1)
	w.has(host, "A", "300 9.0.0.11")
	w.has(service, "SVCB", svcb)
	w.has(service, "TXT", `60 "published-by=mh:here" "svcb=9899" "9.0.0.11"`, `60 "somebody else's"`) // not about this service
	w.publish(want, 0)
}

// What this host speaks now takes the place of what it has published before.
func TestOtherPort(t *testing.T) {
	w := newWorld(t, "")
	want := wanted("9.0.0.11")
	want.Cap.UDPPort, want.TXT = 9900, true
	w.publish(want, 1)
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9900" "txt=9900" "9.0.0.11"`, `300 "v=mh1 udp=9900 sctp=5000 f=1"`)
	want.Cap.UDPPort = 9899
	w.publish(want, 1)
	w.has(service, "SVCB", svcb)
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9899" "txt=9899" "9.0.0.11"`, `300 "v=mh1 udp=9899 sctp=5000 f=1"`)
	want.TXT = false
	w.publish(want, 1)
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9899" "9.0.0.11"`)
}

// Nothing can be beside an alias, and the error says of what.
func TestAliases(t *testing.T) {
	w := newWorld(t, "gw.example.net. 60 IN CNAME www.example.net.\n")
	_, err := w.Publish(t.Context(), wanted("9.0.0.11"))
	wantError(t, err, "gw.example.net. is an alias of www.example.net.")

	w = newWorld(t, "_mhsctp.gw.example.net. 60 IN SVCB 0 www.example.net.\n")
	_, err = w.Publish(t.Context(), wanted("9.0.0.11"))
	wantError(t, err, "_mhsctp.gw.example.net. is an alias of www.example.net.")
	want := wanted("9.0.0.11")
	want.Replace = true
	w.publish(want, 1)
	w.has(service, "SVCB", svcb)
}

// What somebody else changes between reading and writing is not overwritten.
func TestChangedMeanwhile(t *testing.T) {
	w := newWorld(t, "")
	for what, change := range map[string]string{
		"an address": "gw.example.net. 60 IN A 9.0.0.50\n",
		"an alias":   "gw.example.net. 60 IN CNAME www.example.net.\n",
		"a host":     "_mhsctp.gw.example.net. 60 IN SVCB 2 other.example.net.\n",
		"a marker":   "_mhsctp.gw.example.net. 60 IN TXT \"published-by=mh\" \"9.0.0.1\"\n",
	} {
		if err := w.dns.SetZone(soa); err != nil {
			t.Fatal(err)
		}
		plan, err := w.Plan(t.Context(), wanted("9.0.0.11"))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.dns.SetZone(soa + change); err != nil {
			t.Fatal(err)
		}
		if err := w.Send(t.Context(), plan); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v, want %v", what, err, ErrChanged)
		}
	}
	if n := w.dns.Updates(); n != 0 {
		t.Errorf("%d updates were carried out", n)
	}
	if err := w.dns.SetZone(soa + "gw.example.net. 60 IN A 9.0.0.50\n"); err != nil {
		t.Fatal(err)
	}
	w.publish(wanted("9.0.0.11"), 1)
	w.has(host, "A", "60 9.0.0.11", "60 9.0.0.50")

	w.dns.Refuse(dns.RcodeNXRrset)
	read := w.dns.Asked(host, dns.TypeA)
	if _, err := w.Publish(t.Context(), wanted("9.0.0.12")); !errors.Is(err, ErrChanged) {
		t.Errorf("a name that changes without end: %v", err)
	}
	if n := w.dns.Asked(host, dns.TypeA) - read; n != attempts {
		t.Errorf("it was read %d times, want %d", n, attempts)
	}
}

// Every refusal says what to do.
func TestRefusals(t *testing.T) {
	w := newWorld(t, "")
	send := func() error {
		_, err := w.Publish(t.Context(), wanted("9.0.0.11"))
		return err
	}
	for rcode, want := range map[int]string{
		dns.RcodeRefused:        "REFUSED: the server takes no update of these records with key k: allow it there",
		dns.RcodeNotAuth:        "NOTAUTH: the server has no authority for example.net.",
		dns.RcodeNotZone:        "NOTZONE: a name is outside of example.net.",
		dns.RcodeNotImplemented: "NOTIMP: the server knows no dynamic updates",
		dns.RcodeServerFailure:  "SERVFAIL: the server could not write the zone",
		dns.RcodeFormatError:    "FORMERR",
		dns.RcodeYXRrset:        "YXRRSET: the records have changed since they were read",
	} {
		w.dns.Refuse(rcode)
		wantError(t, send(), "update of example.net. at "+w.dns.Addr()+": "+want)
	}
	w.dns.Refuse(0)

	good := *w.Key
	w.Key.secret = "b3RoZXI="
	wantError(t, send(), "BADSIG: the server has another secret for key k")
	w.Key.secret = secret
	w.Key.Name = "l."
	wantError(t, send(), "BADKEY: the server knows no key l with algorithm hmac-sha256")
	*w.Key = good
	w.now = func() time.Time { return time.Now().Add(time.Hour) }
	wantError(t, send(), "BADTIME: the clocks of this host and of the server differ")
	w.now = nil
	w.Key = nil
	wantError(t, send(), "REFUSED: the server takes no update of these records without a key")
	w.Key = &good
	w.dns.LeaveUnsigned(true)
	wantError(t, send(), "the answer is not signed")
}

// Clocks may differ by what RFC 8945 section 10 recommends, either way.
func TestFudge(t *testing.T) {
	w := newWorld(t, "")
	for _, off := range []time.Duration{-290 * time.Second, 290 * time.Second} {
		w.now = func() time.Time { return time.Now().Add(off) }
		if _, err := w.Publish(t.Context(), wanted(fmt.Sprint("9.0.0.", 1+w.dns.Updates()))); err != nil {
			t.Errorf("%v: %v", off, err)
		}
	}
	if n := w.dns.Updates(); n != 2 {
		t.Errorf("%d updates, want 2", n)
	}
}

// What a server without authority has at the name is not where updates go.
func TestReadAuthority(t *testing.T) {
	p := &Primary{Addr: cache(t), Zone: "example.net."}
	_, err := p.Read(t.Context(), host)
	wantError(t, err, "has no authority for gw.example.net.: another server has, name the zone's primary with --server")
}

// The server's clock is in the answer (RFC 8945 section 5.2.3).
func TestClocks(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	tsig := &dns.TSIG{OtherLen: 6, OtherData: fmt.Sprintf("%012x", now.Add(-90*time.Minute).Unix())}
	want := "the server's clock says 2001-09-09T00:16:40Z and this host's 2001-09-09T01:46:40Z, 1h30m0s apart"
	if got := clocks(tsig, now); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := clocks(tsig, now.Add(-2*time.Hour)); !strings.HasSuffix(got, "T23:46:40Z, 30m0s apart") {
		t.Errorf("a clock that is behind: %s", got)
	}
}

// A zone is looked for from the name up.
func TestFindZone(t *testing.T) {
	w := newWorld(t, "")
	if w.Zone != "example.net." {
		t.Errorf("zone %s", w.Zone)
	}
	_, err := FindZone(t.Context(), w.Addr, nil, "gw.example.org.")
	wantError(t, err, w.dns.Addr()+" has no zone that gw.example.org is in")
	_, err = FindZone(t.Context(), cache(t), nil, host)
	wantError(t, err, "has no zone that gw.example.net is in")
	w.dns.Close()
	_, err = FindZone(t.Context(), w.Addr, nil, host)
	wantError(t, err, "SOA gw.example.net. at "+w.dns.Addr()+": no connection over TCP")
}

// cache starts a server that has every SOA record from somebody else.
func cache(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: ".", Mbox: "."}}
		_ = w.WriteMsg(m) // the asker has gone: nothing to do
	})}
	started, done := make(chan struct{}), make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	go func() { // ends when the cleanup shuts it down
		defer close(done)
		_ = s.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() { _ = s.Shutdown(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v\nwant %s", err, want)
	}
}
