package nameservers

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/internal/publish"
	"github.com/sctpmh/mh/noid"
)

func newResolver(t *testing.T, cfg noid.Config) *noid.Resolver {
	t.Helper()
	r, err := noid.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// plainly asks a server over UDP.
func plainly(a netip.Addr) []noid.Upstream {
	return []noid.Upstream{{Addr: netip.AddrPortFrom(a, 53)}}
}

// wantHost resolves a name and checks the one host behind it: its addresses,
// how they came, and its port.
func wantHost(t *testing.T, r *noid.Resolver, name, host, addrs string, port uint16, channel noid.Channel) {
	t.Helper()
	res, err := r.Resolve(t.Context(), name, 80)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if res.Late != nil { // the addresses came long before the record
		if res.MH, err = res.Late(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(res.MH) != 1 {
		t.Errorf("%s: %d hosts: %v", name, len(res.MH), res.Partial)
		return
	}
	s := res.MH[0]
	if got := list(s); s.Name.String() != host || got != addrs || s.Cap.UDPPort != port || s.Channel != channel {
		t.Errorf("%s: %v with %s, port %d, channel %v, want %s with %s, %d, %v", name, s.Name, got, s.Cap.UDPPort, s.Channel, host, addrs, port, channel)
	}
}

func list(s *noid.Set) string {
	var out []string
	for _, l := range s.Locators {
		out = append(out, l.Addr.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

const gwAddrs = "2a00:a::11 9.0.0.11"

// Servers that have authority give the record and the addresses of its host, in
// clear, and signed where we validate.
func TestAuthorities(t *testing.T) {
	startKnot(t)
	startBIND(t)
	validate := true
	for server, zones := range map[netip.Addr][]string{knotAddr: {"plain.example", "signed.example"}, bindOutside: {"moved.example", "signed.example"}} {
		for _, zone := range zones {
			r := newResolver(t, noid.Config{Upstreams: plainly(server)})
			wantHost(t, r, "www."+zone, "gw."+zone, gwAddrs, 9899, noid.ChanPlain)
			res, err := r.Resolve(t.Context(), "legacy."+zone, 80)
			if err != nil || len(res.MH) != 0 || list(res.Legacy) != "9.0.0.30" || !errors.Is(res.Partial, noid.ErrNXDomain) {
				t.Errorf("legacy.%s at %v: %+v, %v", zone, server, res, err)
			}
		}
		right := anchor(t, server, "signed.example.")
		r := newResolver(t, noid.Config{Upstreams: plainly(server), Trust: noid.Strict, DNSSEC: noid.DNSSEC{Validate: &validate, Anchors: []string{right}}})
		wantHost(t, r, "www.signed.example", "gw.signed.example", gwAddrs, 9899, noid.ChanValidated)
		res, err := r.Resolve(t.Context(), "legacy.signed.example", 80)
		if err != nil || res.NoFallback || res.Legacy.Channel != noid.ChanValidated {
			t.Errorf("%v proves that there is no record: %+v, %v", server, res, err)
		}
		wrong := right[:len(right)-4] + "0000"
		r = newResolver(t, noid.Config{Upstreams: plainly(server), DNSSEC: noid.DNSSEC{Validate: &validate, Anchors: []string{wrong}}})
		if res, err := r.Resolve(t.Context(), "www.signed.example", 80); !errors.Is(err, noid.ErrBogus) {
			t.Errorf("%v with the key of another: %+v, %v", server, res, err)
		}
	}
}

// A site tells its own hosts something else of the same name than others.
func TestViews(t *testing.T) {
	startBIND(t)
	site, err := noid.NewZone("moved.example", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	if err != nil {
		t.Fatal(err)
	}
	cfg := noid.Config{Zones: []noid.Zone{site}, Upstreams: plainly(bindInside)}
	wantHost(t, newResolver(t, cfg), "www.moved.example", "gw.moved.example", "10.0.0.11 10.1.0.11", 9900, noid.ChanPlain)
	cfg.Upstreams = plainly(bindOutside)
	wantHost(t, newResolver(t, cfg), "www.moved.example", "gw.moved.example", gwAddrs, 9899, noid.ChanPlain)
	// Who asks both and demands that they agree gets nothing that they do not.
	cfg.Upstreams = append(plainly(bindInside), plainly(bindOutside)...)
	cfg.Consistency = noid.ConsistencyAll
	if res, err := newResolver(t, cfg).Resolve(t.Context(), "www.moved.example", 80); err == nil {
		t.Errorf("%+v", res)
	}
}

// What is published by dynamic update is what is found, at either server.
func TestPublish(t *testing.T) {
	startKnot(t)
	startBIND(t)
	key, err := publish.ParseKey(updateKey)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := publish.ParseKey(strings.Replace(updateKey, "MTIz", "MTI0", 1))
	if err != nil {
		t.Fatal(err)
	}
	for server, zone := range map[netip.Addr]string{knotAddr: "signed.example", bindOutside: "moved.example"} {
		name := noid.Name("laptop." + zone + ".")
		find := func(key *publish.Key) *publish.Primary {
			p, err := publish.FindZone(t.Context(), netip.AddrPortFrom(server, 53), key, name)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		want := &publish.Want{
			Name: name, Host: "laptop", TTL: publish.MovingTTL, Addrs: []netip.Addr{netip.MustParseAddr("9.0.1.1"), netip.MustParseAddr("9.0.1.2")},
			Cap: &noid.Capability{Target: name, UDPPort: 9901, SCTPPort: 9901, Flags: noid.FlagEmul},
		}
		if plan, err := find(stranger).Publish(t.Context(), want); err == nil {
			t.Errorf("%v: anybody may publish: %+v", server, plan)
		}
		if _, err := find(key).Publish(t.Context(), want); err != nil {
			t.Fatalf("%v: %v", server, err)
		}
		r := newResolver(t, noid.Config{Upstreams: plainly(server)})
		wantHost(t, r, name.String(), name.String(), "9.0.1.1 9.0.1.2", 9901, noid.ChanPlain)
		if plan, err := find(key).Publish(t.Context(), want); err != nil || !plan.Empty() {
			t.Errorf("%v: there is more to do: %+v, %v", server, plan, err)
		}
		want.Addrs = want.Addrs[1:]
		if _, err := find(key).Publish(t.Context(), want); err != nil {
			t.Fatalf("%v: %v", server, err)
		}
		r = newResolver(t, noid.Config{Upstreams: plainly(server)})
		wantHost(t, r, name.String(), name.String(), "9.0.1.2", 9901, noid.ChanPlain)
		if _, err := find(key).Publish(t.Context(), publish.Withdrawal(name, want.Host)); err != nil {
			t.Fatalf("%v: %v", server, err)
		}
		r = newResolver(t, noid.Config{Upstreams: plainly(server)})
		if res, err := r.Resolve(t.Context(), name.String(), 80); !errors.Is(err, noid.ErrNXDomain) {
			t.Errorf("%v: it is still there: %+v, %v", server, res, err)
		}
	}
}

// A validating server vouches for what it says where nobody between can have
// said it in its place, and has nothing to say of what is bogus.
func TestValidatingServer(t *testing.T) {
	startKnot(t)
	cert, roots, err := dnstest.Certify("dns.example", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	bogus := anchor(t, knotAddr, "bogus.example.")
	startUnbound(t, []string{anchor(t, knotAddr, "signed.example."), bogus[:len(bogus)-4] + "0000"},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	resolvConf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolvConf, []byte("nameserver "+unboundAddr.String()+"\noptions trust-ad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	local, err := noid.SystemUpstreams(resolvConf)
	if err != nil {
		t.Fatal(err)
	}
	over := func(url string) []noid.Upstream {
		up, err := noid.ParseUpstream(url)
		if err != nil {
			t.Fatal(err)
		}
		return []noid.Upstream{up}
	}
	no := false
	for what, test := range map[string]struct {
		ups            []noid.Upstream
		signed, plain  noid.Channel
		bogus          error
		strictFallback bool // where it says that there is no record
	}{
		"over UDP":               {plainly(unboundAddr), noid.ChanPlain, noid.ChanPlain, noid.ErrServer, false},
		"over TCP":               {over("tcp://" + unboundAddr.String()), noid.ChanPlain, noid.ChanPlain, noid.ErrServer, false},
		"on this host, trust-ad": {local, noid.ChanAD, noid.ChanPlain, noid.ErrBogus, true},
		"over TLS":               {over("tls://" + unboundAddr.String() + "#dns.example"), noid.ChanAD, noid.ChanEncrypted, noid.ErrBogus, true},
		"over HTTPS":             {over("https://dns.example/dns-query@" + unboundAddr.String()), noid.ChanAD, noid.ChanEncrypted, noid.ErrBogus, true},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := noid.Config{Upstreams: test.ups, Roots: roots, DNSSEC: noid.DNSSEC{Validate: &no}}
			r := newResolver(t, cfg)
			wantHost(t, r, "www.signed.example", "gw.signed.example", gwAddrs, 9899, test.signed)
			wantHost(t, r, "www.plain.example", "gw.plain.example", gwAddrs, 9899, test.plain)
			if res, err := r.Resolve(t.Context(), "www.bogus.example", 80); !errors.Is(err, test.bogus) || !strings.Contains(err.Error(), "SERVFAIL, extended error") {
				t.Errorf("bogus: %+v, %v, want %v", res, err, test.bogus)
			}
			cfg.Trust = noid.Strict
			res, err := newResolver(t, cfg).Resolve(t.Context(), "legacy.signed.example", 80)
			if err != nil || res.NoFallback == test.strictFallback {
				t.Errorf("strict, no record: %+v, %v", res, err)
			}
		})
	}
	// Only what has the right name is talked to.
	r := newResolver(t, noid.Config{Upstreams: over("tls://" + unboundAddr.String() + "#other.example"), Roots: roots})
	if res, err := r.Resolve(t.Context(), "www.signed.example", 80); !errors.Is(err, noid.ErrServer) || !strings.Contains(err.Error(), "valid for dns.example, not other.example") {
		t.Errorf("another name: %+v, %v", res, err)
	}
}
