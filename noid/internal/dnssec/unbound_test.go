package dnssec

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// unbound starts a validating resolver that begins at the keys of a scene's root
// and asks a server, at the time of the scene. It skips the test for want of the program, which with
// CI=true is a failure.
func unbound(t *testing.T, s *scene, server string) (addr string) {
	t.Helper()
	program, err := exec.LookPath("unbound")
	if err != nil {
		program = "/usr/sbin/unbound"
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("unbound is not installed: make tools")
		}
		t.Skip("unbound is not installed: make tools")
	}
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = free.LocalAddr().String()
	free.Close()
	at := func(hostport string) string { return strings.Replace(hostport, ":", "@", 1) }
	dir := t.TempDir()
	file := filepath.Join(dir, "unbound.conf")
	text := fmt.Sprintf(`server:
	do-daemonize: no
	interface: %s
	username: ""
	chroot: ""
	directory: %q
	pidfile: ""
	use-syslog: no
	verbosity: 1
	num-threads: 1
	do-not-query-localhost: no
	module-config: "validator iterator"
	trust-anchor: %q
	val-override-date: %q
	qname-minimisation: no
	aggressive-nsec: no
remote-control:
	control-enable: no
forward-zone:
	name: "."
	forward-addr: %s
`, at(addr), dir, strings.ReplaceAll(s.root.Keys[0].DS(".", dns.SHA256).String(), "\t", " "), s.now.UTC().Format("20060102150405"), at(server))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-c", file)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails if it is dead already
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(log); lines.Scan(); { // until it serves, or has ended
		if strings.Contains(lines.Text(), "start of service") {
			return addr
		}
		t.Log(lines.Text())
	}
	t.Fatal("unbound has ended")
	return ""
}

// judge asks a validating resolver.
func judge(t *testing.T, addr, name string, qtype uint16) Status {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(4096, true)
	client := dns.Client{Timeout: 20 * time.Second, UDPSize: 4096}
	m, _, err := client.ExchangeContext(t.Context(), q, addr)
	switch {
	case err != nil:
		t.Fatalf("unbound does not answer %s: %v", name, err)
		return Bogus
	case m.Rcode == dns.RcodeServerFailure:
		return Bogus
	case m.AuthenticatedData:
		return Secure
	}
	return Insecure
}

// We come to the same verdicts as unbound, from what the same server says. Not
// tried is what we judge otherwise on purpose: SHA-1 (RFC 9905), between 101 and
// 150 NSEC3 iterations, and a DS record for a key that is revoked, which unbound
// takes.
func TestDifferUnbound(t *testing.T) {
	s := newScene(t)
	s.tree.Add("org.", "")
	s.tree.Add("example.org.", "www A 198.51.100.1\nx A 198.51.100.2")
	s.tree.Add("open.net.", "www A 203.0.113.1", dnstest.Unsigned())
	day := 24 * time.Hour
	old, next := dnstest.NewKey(dns.ECDSAP256SHA256), dnstest.NewKey(dns.ECDSAP256SHA256)
	zones := map[string][]dnstest.Option{
		"nsec": nil, "nsec3": {dnstest.WithNSEC3(10, "aabb", false)}, "out": {dnstest.WithNSEC3(0, "", true)},
		"costly": {dnstest.WithNSEC3(200, "", false)}, "unsigned": {dnstest.Unsigned()}, "island": {dnstest.WithoutDS()},
		"rsa": {dnstest.SignedWith(dnstest.NewKey(dns.RSASHA256))}, "rsa512": {dnstest.SignedWith(dnstest.NewKey(dns.RSASHA512))},
		"p384": {dnstest.SignedWith(dnstest.NewKey(dns.ECDSAP384SHA384))}, "ed25519": {dnstest.SignedWith(dnstest.NewKey(dns.ED25519))},
		"expired": {dnstest.SignedFrom(noon.Add(-9*day), noon.Add(-8*day))}, "early": {dnstest.SignedFrom(noon.Add(8*day), noon.Add(9*day))},
		"rollover": {dnstest.SignedWith(old, next.Hidden().Silent())}, "ksk": {dnstest.SignedWith(old.Silent(), next.Hidden())},
		"nozone": {dnstest.SignedWith(old.Flagged(dns.SEP))},
	}
	type question struct {
		name  string
		qtype uint16
	}
	var asked []question
	for zone, options := range zones {
		s.tree.Add(zone+".net.", example+"toopen CNAME www.open.net.\n", options...)
		s.tree.Add("open."+zone+".net.", "www A 203.0.113.2", dnstest.Unsigned())
		s.tree.Add("child."+zone+".net.", "www A 203.0.113.3")
		for _, host := range []string{"www", "alias", "far", "gone", "x.tree", "y.tree", "a.wild", "a.b.wild", "wild", "below", "nothing", "a.b.nothing", "zzz", "a.cnames", "toopen", "www.open", "nothing.open", "www.child", "nothing.child"} {
			asked = append(asked, question{host + "." + zone + ".net.", dns.TypeA})
		}
		for _, host := range []string{"www", "a.wild", "below", "far"} {
			asked = append(asked, question{host + "." + zone + ".net.", dns.TypeMX})
		}
	}
	// What is done to answers about zones of their own.
	changes := make(map[question]func(*dns.Msg))
	change := func(zone string, qtype uint16, f func(*dns.Msg), options ...dnstest.Option) {
		s.tree.Add(zone+".net.", example, options...)
		asked = append(asked, question{"www." + zone + ".net.", dns.TypeA}, question{"nothing." + zone + ".net.", dns.TypeA}, question{"a.wild." + zone + ".net.", dns.TypeA})
		for _, host := range []string{"", "www.", "nothing.", "a.wild."} {
			changes[question{host + zone + ".net.", qtype}] = f
		}
	}
	for denial, options := range denials {
		d := strings.ToLower(strings.ReplaceAll(denial, " ", ""))
		change("altered"+d, dns.TypeA, func(m *dns.Msg) {
			for _, rr := range m.Answer {
				if a, ok := rr.(*dns.A); ok {
					a.A = net.IPv4(192, 0, 2, 66)
				}
			}
		}, options...)
		change("stripped"+d, dns.TypeA, drop(dns.TypeRRSIG), options...)
		change("undenied"+d, dns.TypeA, func(m *dns.Msg) { m.Ns = nil }, options...)
		change("nxdomain"+d, dns.TypeA, func(m *dns.Msg) { m.Answer, m.Rcode = nil, dns.RcodeNameError }, options...)
		change("nodata"+d, dns.TypeA, func(m *dns.Msg) { m.Answer, m.Rcode = nil, dns.RcodeSuccess }, options...)
		change("nods"+d, dns.TypeDS, absent(dns.RcodeSuccess), options...)
		change("replayed"+d, dns.TypeDS, absent(dns.RcodeSuccess, s.proofs("open.net.", dns.TypeDS)), options...)
		change("dsnx"+d, dns.TypeDS, absent(dns.RcodeNameError, s.proofs("nothing.net.", dns.TypeDS)), options...)
		change("nokeys"+d, dns.TypeDNSKEY, absent(dns.RcodeSuccess), options...)
		change("unsignedkeys"+d, dns.TypeDNSKEY, drop(dns.TypeRRSIG), options...)
		change("signer"+d, dns.TypeA, func(m *dns.Msg) { signatures(m, func(sig *dns.RRSIG) { sig.SignerName = "net." }) }, options...)
	}
	s.tamper = func(q dns.Question, m *dns.Msg) {
		if f := changes[question{dns.CanonicalName(q.Name), q.Qtype}]; f != nil {
			f(m)
		}
	}
	d, err := dnstest.New("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	d.SetTree(s.tree, s.tamper)
	addr := unbound(t, s, d.Addr())
	verdicts := make(map[Status]int)
	for _, q := range asked {
		theirs, ours := judge(t, addr, q.name, q.qtype), s.ask(q.name, q.qtype)
		if verdicts[ours.Status]++; ours.Status != theirs {
			t.Errorf("%s %s: unbound says %v, we say %v", dns.TypeToString[q.qtype], q.name, theirs, ours)
		}
	}
	t.Logf("%d questions: %v", len(asked), verdicts)
}
