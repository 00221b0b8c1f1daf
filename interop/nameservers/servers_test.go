package nameservers

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnsreal"
)

// records are those of every zone: a host that speaks mh behind a name, and
// what the name has for others.
const records = `
$TTL 60
@              SOA   ns hostmaster 1 3600 600 86400 60
@              NS    ns
ns             A     127.0.0.2
www            A     9.0.0.1
_mhsctp.www    SVCB  1 gw port=9899 key65280="\001\003" mandatory=key65280
gw             A     9.0.0.11
gw             AAAA  2a00:a::11
legacy         A     9.0.0.30
`

// inside is what the hosts of the site are told of the same zone.
const inside = `
$TTL 60
@              SOA   ns hostmaster 1 3600 600 86400 60
@              NS    ns
ns             A     127.0.0.4
www            A     10.0.0.1
_mhsctp.www    SVCB  1 gw port=9900 key65280="\001\003" mandatory=key65280
gw             A     10.0.0.11
gw             A     10.1.0.11
`

// updateKey may change zones; its file is as tsig-keygen writes it.
const updateKey = `key "mh." { algorithm hmac-sha256; secret "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="; };`

// startKnot starts Knot DNS with authority for plain.example, signed.example and
// bogus.example, of which it signs the latter two. Each has a file in a directory.
func startKnot(t *testing.T) (s *dnsreal.Server, dir string) {
	t.Helper()
	conf := fmt.Sprintf(`
server:
    rundir: DIR
    listen: %v@53
log:
  - target: stderr
    any: info
database:
    storage: DIR
key:
  - id: mh.
    algorithm: hmac-sha256
    secret: MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=
acl:
  - id: update
    key: mh.
    action: update
template:
  - id: default
    storage: DIR
    file: "%%s"
    zonefile-sync: -1
    acl: update
policy:
  - id: sign
    algorithm: ecdsap256sha256
zone:
  - domain: plain.example
  - domain: signed.example
    dnssec-signing: on
    dnssec-policy: sign
  - domain: bogus.example
    dnssec-signing: on
    dnssec-policy: sign
`, knotAddr)
	dir = files(t, map[string]string{"knot.conf": conf, "plain.example": records, "signed.example": records, "bogus.example": records})
	s = start(t, []string{"[plain.example.] loaded", "[signed.example.] loaded", "[bogus.example.] loaded", "server started"}, "knotd", "-c", filepath.Join(dir, "knot.conf"))
	return s, dir
}

// startBIND starts BIND with authority for moved.example, and for signed.example, which
// its tools have signed: in a view for everybody and in one for those who ask at
// another address.
func startBIND(t *testing.T) {
	t.Helper()
	conf := fmt.Sprintf(`
options {
	directory "DIR";
	listen-on { %v; %v; }; listen-on-v6 { none; };
	pid-file none; session-keyfile none; lock-file none;
	recursion no; notify no; dnssec-validation no; empty-zones-enable no;
};
controls { };
%s
view "inside" {
	match-destinations { %v; };
	zone "moved.example" { type primary; file "inside"; };
};
view "outside" {
	zone "moved.example" { type primary; file "outside"; update-policy { grant mh. zonesub ANY; }; };
	zone "signed.example" { type primary; file "signed"; };
};
`, bindOutside, bindInside, updateKey, bindInside)
	dir := files(t, map[string]string{"named.conf": conf, "inside": inside, "outside": records})
	// named signs bit by bit and does not say when it is done.
	run(t, dir, "dnssec-keygen", "-a", "ECDSAP256SHA256", "-f", "KSK", "signed.example")
	run(t, dir, "dnssec-signzone", "-S", "-z", "-o", "signed.example", "-f", "signed", "outside")
	start(t, []string{"all zones loaded", "running"}, "named", "-g", "-c", filepath.Join(dir, "named.conf"))
}

// startUnbound starts Unbound, which asks Knot DNS for its zones and begins to
// validate at anchors.
func startUnbound(t *testing.T, anchors []string, cert, key string) {
	t.Helper()
	var trust strings.Builder
	for _, a := range anchors {
		fmt.Fprintf(&trust, "\ttrust-anchor: %q\n", a)
	}
	conf := fmt.Sprintf(`
server:
	do-daemonize: no
	chroot: ""
	username: ""
	directory: "DIR"
	pidfile: ""
	use-syslog: no
	verbosity: 1
	num-threads: 1
	interface: %[1]v@53
	interface: %[1]v@853
	interface: %[1]v@443
	tls-service-pem: "DIR/cert.pem"
	tls-service-key: "DIR/key.pem"
	do-not-query-localhost: no
	module-config: "validator iterator"
	val-log-level: 2
	ede: yes
%[2]s
remote-control:
	control-enable: no
`, unboundAddr, trust.String())
	for _, zone := range []string{"plain.example", "signed.example", "bogus.example"} {
		conf += fmt.Sprintf("stub-zone:\n\tname: %s\n\tstub-addr: %v\n", zone, knotAddr)
	}
	dir := files(t, map[string]string{"unbound.conf": conf, "cert.pem": cert, "key.pem": key})
	start(t, []string{"start of service"}, "unbound", "-d", "-c", filepath.Join(dir, "unbound.conf"))
}

// anchor returns the DS record of the key that a zone's keys are signed with.
func anchor(t *testing.T, server netip.Addr, zone string) string {
	t.Helper()
	c := dns.Client{Net: "tcp"}
	m, _, err := c.ExchangeContext(t.Context(), new(dns.Msg).SetQuestion(zone, dns.TypeDNSKEY), netip.AddrPortFrom(server, 53).String())
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range m.Answer {
		if k, ok := rr.(*dns.DNSKEY); ok && k.Flags&dns.SEP != 0 {
			return strings.Join(strings.Fields(k.ToDS(dns.SHA256).String()), " ")
		}
	}
	t.Fatalf("%v has no key for %s: %v", server, zone, m)
	return ""
}
