package e2e

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/internal/lab"
)

// mh dns publish --watch follows the addresses of a laptop: those of a provider
// that is gone are withdrawn, and all when it ends.
func TestPublishFollowsAddresses(t *testing.T) {
	if err := watchSources(); err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(bin, 12_500_000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const secret = "c2VjcmV0IG9mIHRoZSBlbmQgdG8gZW5kIHRlc3Q="
	server := netip.AddrPortFrom(l.Site.Addrs()[2], 5300) // by ISP B
	var primary *dnstest.Primary
	must(l.Site.Do(func() (err error) {
		soa := "site.example.net. 60 IN SOA ns.site.example.net. hostmaster.site.example.net. 1 3600 600 86400 60\n"
		primary, err = dnstest.NewPrimary(server.String(), "site.example.net", soa, map[string]string{"k.": secret})
		return err
	}))
	t.Cleanup(func() { primary.Close() })
	key := filepath.Join(l.Dir, "key")
	must(os.WriteFile(key, []byte(`key "k" { algorithm hmac-sha256; secret "`+secret+`"; };`), 0o600))
	file, err := l.Config("publish.toml", lab.LaptopName, "")
	must(err)
	p, err := l.Start(l.Laptop, "mh", "dns", "publish", "-c", file, "--key", key, "--server", server.String(), "--apply", "--watch", "--withdraw")
	must(err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	has := func(addrs []netip.Addr) bool {
		var got, want []string
		for _, a := range addrs {
			want = append(want, a.String())
		}
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			for _, r := range primary.Records(lab.LaptopName, qtype) {
				got = append(got, r[strings.LastIndex(r, " ")+1:])
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		return slices.Equal(got, want)
	}
	// await waits for the zone to have addresses, looking when one is logged.
	await := func(addrs []netip.Addr, msg string) {
		t.Helper()
		for n := 1; !has(addrs); n++ {
			must(p.Await(ctx, msg, n))
		}
	}
	all := l.Laptop.Addrs()
	await(all, "published")
	must(l.ISP[0].Unaddress(l.Laptop))
	await(all[2:], "withdrawn")
	p.Terminate()
	if code := p.Exit(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.Log())
	}
	if !has(nil) {
		t.Errorf("the addresses are still there:\n%s", p.Log())
	}
}
