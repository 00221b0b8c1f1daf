package publish

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/dnsreal"
	"github.com/sctpmh/mh/noid"
)

// realServers are the name servers whose updates are tried.
var realServers = []struct {
	name, program string
	start         func(dnsreal.Options) (*dnsreal.Server, error)
}{
	{"Knot DNS", "knotd", dnsreal.Knot},
	{"BIND", "named", dnsreal.BIND},
}

const realZone = `$TTL 60
@       IN SOA ns hostmaster 1 3600 600 86400 60
@       IN NS  ns
ns      IN A   127.0.0.1
gw      IN A   9.0.0.99
aliased IN CNAME ns
`

// each plays with each server that is installed.
func each(t *testing.T, play func(*testing.T, netip.AddrPort)) {
	for _, s := range realServers {
		t.Run(s.name, func(t *testing.T) {
			if err := dnsreal.Installed(s.program); err != nil && os.Getenv("CI") != "true" {
				t.Skip(err)
			}
			addr := dnsreal.Loopback()
			server, err := s.start(dnsreal.Options{
				Dir: t.TempDir(), Addr: addr, Zones: map[string]string{"example.net": realZone},
				Keys: map[string]string{"k": secret, "idle": secret}, Updaters: []string{"k"},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				server.Stop()
				if t.Failed() {
					t.Log(server.Log())
				}
			}()
			play(t, addr)
		})
	}
}

// What the in-process server is told is what real servers do.
func TestRealServers(t *testing.T) {
	each(t, func(t *testing.T, addr netip.AddrPort) {
		p, err := FindZone(t.Context(), addr, testKey(t), host)
		if err != nil {
			t.Fatal(err)
		}
		publish := func(want *Want, changes int) {
			t.Helper()
			plan, err := p.Publish(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, c := range plan.Changes {
				if c.Fate != Keep {
					n++
				}
			}
			if n != changes {
				t.Errorf("%d changes, want %d: %v", n, changes, plan.Changes)
			}
		}
		has := func(why string, want ...string) {
			t.Helper()
			have, err := p.Read(t.Context(), host)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, rr := range slices.Concat(have.A, have.AAAA, have.SVCB, have.TXT) {
				got = append(got, fmt.Sprint(rr.Header().Ttl, " ", data(rr)))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s:\n got %q\nwant %q", why, got, want)
			}
		}
		capability := `300 SVCB 1 gw.example.net. mandatory="key65280" port="9899" key65280="\001\001" key65281="\019\136"`

		publish(wanted("9.0.0.11", "2a00:a::11"), 4)
		has("published", "60 A 9.0.0.99", "60 A 9.0.0.11", "300 AAAA 2a00:a::11", capability, `300 TXT "published-by=mh:here" "svcb=9899" "9.0.0.11" "2a00:a::11"`)
		publish(wanted("9.0.0.11", "2a00:a::11"), 0)
		resolves(t, addr, "2a00:a::11 9.0.0.11 9.0.0.99")

		publish(wanted("9.0.0.12", "2a00:a::11"), 4) // an address and the marker, both replaced
		moving := wanted("9.0.0.12", "2a00:a::11")
		moving.TTL = MovingTTL
		publish(moving, 6)
		publish(moving, 0)
		has("moving", "60 A 9.0.0.99", "60 A 9.0.0.12", "30 AAAA 2a00:a::11", "30"+strings.TrimPrefix(capability, "300"), `30 TXT "published-by=mh:here" "svcb=9899" "9.0.0.12" "2a00:a::11"`)

		plan, err := p.Plan(t.Context(), wanted("9.0.0.13"))
		if err != nil {
			t.Fatal(err)
		}
		publish(wanted("9.0.0.12"), 5)
		if err := p.Send(t.Context(), plan); !errors.Is(err, ErrChanged) {
			t.Errorf("an outdated plan: %v", err)
		}
		replace := wanted("9.0.0.12")
		replace.Replace = true
		publish(replace, 3)
		has("replaced", "300 A 9.0.0.12", capability, `300 TXT "published-by=mh:here" "svcb=9899" "9.0.0.12"`)
		publish(Withdrawal(host, self), 3)
		has("withdrawn")

		_, err = p.Publish(t.Context(), &Want{Name: "aliased.example.net.", Host: self, TTL: 60, Addrs: wanted("9.0.0.1").Addrs})
		wantError(t, err, "aliased.example.net. is an alias of ns.example.net.")
	})
}

// resolves demands the addresses of the host as a peer finds them.
func resolves(t *testing.T, server netip.AddrPort, want string) {
	t.Helper()
	r, err := noid.New(noid.Config{Upstreams: []noid.Upstream{{Addr: server}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e, err := r.Explain(t.Context(), host, 0) // waits for all answers, however slow this machine is
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Hosts) != 1 || e.Hosts[0].Cap.UDPPort != 9899 {
		t.Fatalf("%+v, want one host that speaks mh", e)
	}
	var got []string
	for _, l := range e.Hosts[0].Locators {
		got = append(got, l.Addr.String())
	}
	slices.Sort(got)
	if strings.Join(got, " ") != want {
		t.Errorf("resolved %q, want %q", got, want)
	}
}

// What real servers say no to is explained.
func TestRealRefusals(t *testing.T) {
	each(t, func(t *testing.T, addr netip.AddrPort) {
		for _, test := range []struct {
			what   string
			change func(*Primary)
			want   []string // any of them: servers differ
		}{
			{"unknown key", func(p *Primary) { p.Key.Name = "unknown." }, []string{"BADKEY: the server knows no key unknown"}},
			{"other secret", func(p *Primary) { p.Key.secret = "b3RoZXI=" }, []string{"BADSIG: the server has another secret for key k"}},
			{"clock", func(p *Primary) { p.now = func() time.Time { return time.Now().Add(time.Hour) } }, []string{"BADTIME: the server's clock says"}},
			{"key without rights", func(p *Primary) { p.Key.Name = "idle." }, []string{"REFUSED: the server takes no update of these records with key idle", "BADKEY: the server knows no key idle"}},
			{"no key", func(p *Primary) { p.Key = nil }, []string{"REFUSED: the server takes no update of these records without a key", "NOTAUTH: the server has no authority for example.net., or does not know who asks without a key"}},
			{"other zone", func(p *Primary) { p.Zone = "example.org." }, []string{"NOTAUTH: the server has no authority for example.org."}},
		} {
			p, err := FindZone(t.Context(), addr, testKey(t), host)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := p.Plan(t.Context(), wanted("9.0.0.11"))
			if err != nil {
				t.Fatal(err)
			}
			test.change(p)
			plan.Zone = p.Zone
			err = p.Send(t.Context(), plan)
			if err == nil || !slices.ContainsFunc(test.want, func(s string) bool { return strings.Contains(err.Error(), s) }) {
				t.Errorf("%s: %v\nwant one of %q", test.what, err, test.want)
			}
		}
		_, err := FindZone(t.Context(), addr, nil, "gw.example.org.")
		wantError(t, err, "has no zone that gw.example.org is in")
	})
}

// What is printed for nsupdate does the same when nsupdate is given it.
func TestCommands(t *testing.T) {
	if err := dnsreal.Installed("nsupdate"); err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	each(t, func(t *testing.T, addr netip.AddrPort) {
		p, err := FindZone(t.Context(), addr, testKey(t), host)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []*Want{wanted("9.0.0.11", "2a00:a::11"), wanted("9.0.0.12"), Withdrawal(host, self)} {
			plan, err := p.Plan(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			var commands strings.Builder
			if err := plan.WriteCommands(&commands, addr); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "nsupdate", "-t", "10", "-y", "hmac-sha256:k:"+secret)
			cmd.Stdin = strings.NewReader(commands.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("nsupdate: %v: %s\n%s", err, out, commands.String())
			}
			if again, err := p.Plan(t.Context(), want); err != nil || !again.Empty() {
				t.Errorf("after nsupdate there is more to do: %v, %v\n%s", again, err, commands.String())
			}
		}
	})
}
