package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// thirdISP makes one more provider.
func thirdISP(t *testing.T, l *lab.Lab) *testnet.ISP {
	t.Helper()
	p, err := l.Net.ISP("isp-c", 3, 12_500_000)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// onThird reports whether an address is of that provider.
func onThird(a netip.Addr) bool { return a.Is4() && a.As4()[1] == 3 || a.As16()[3] == 3 }

// zoneWith returns the scene's records with short lives, in which a name has
// these addresses and is one host's.
func zoneWith(l *lab.Lab, name string, addrs []netip.Addr) string {
	var z strings.Builder
	for line := range strings.Lines(l.Zone()) {
		if !strings.HasPrefix(line, name+". ") {
			z.WriteString(line)
		}
	}
	z.WriteString(records(name, addrs...))
	if capability := "_mhsctp." + name + ". "; !strings.Contains(z.String(), capability) {
		fmt.Fprintf(&z, "%s 60 IN SVCB 1 %s. port=9899 key65280=\"\\001\\005\" mandatory=key65280\n", capability, name)
	}
	return strings.ReplaceAll(z.String(), " 60 IN ", " 2 IN ")
}

// awaitOctets waits until a provider has passed so much to a host.
func (s *scene) awaitOctets(p *testnet.ISP, to *testnet.Host, n uint64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := p.Octets(to)
		s.must(err)
		if got >= n {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("%d of %d octets came over the third provider", got, n)
		}
	}
}

// download is a stream from the site's server that is read step by step.
type download struct {
	s    *scene
	c    *net.TCPConn
	got  int64
	size int64
	hash interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func (s *scene) download(size int64) *download {
	s.t.Helper()
	c, err := s.DialSocks(lab.SiteName, lab.ServicePort)
	s.must(err)
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(90 * time.Second))
	_, err = c.Write(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(size)))
	s.must(err)
	s.must(c.CloseWrite())
	return &download{s: s, c: c, size: size, hash: sha256.New()}
}

// read takes n octets more, and at the end checks all of them.
func (d *download) read(n int64) {
	d.s.t.Helper()
	got, err := io.CopyN(d.hash, d.c, n)
	d.got += got
	if err != nil {
		d.s.t.Fatalf("after %d of %d octets: %v", d.got, d.size, err)
	}
	if d.got < d.size {
		return
	}
	tail, err := io.ReadAll(d.c)
	if err != nil || !bytes.Equal(tail, hash(1, 0)) || !bytes.Equal(d.hash.Sum(nil), hash(2, d.size)) {
		d.s.t.Errorf("the stream is not what was sent: %v", err)
	}
}

// A laptop loses one uplink for good, gets another in the middle of a download,
// and then loses the last of those that it began with: the download goes on over an
// address that neither end knew when it began. The peer learns of it by the
// laptop's name.
func TestLaptopMovesToNewUplink(t *testing.T) {
	t.Parallel()
	var isp *testnet.ISP
	s := newSceneWith(t, func(l *lab.Lab) options {
		isp = thirdISP(t, l)
		if _, err := isp.Attach(l.Site); err != nil {
			t.Fatal(err)
		}
		if err := l.SetZone(zoneWith(l, lab.LaptopName, l.Laptop.Addrs())); err != nil {
			t.Fatal(err)
		}
		return options{socks: "listen = [\"127.0.0.1:1080\"]\n[transport]\ndisclose = \"none\"\n"}
	})
	d := s.download(40 << 20)
	d.read(3 << 20)
	s.must(s.ISP[0].Unaddress(s.Laptop))
	s.must(s.ISP[0].Cut(s.Laptop))
	d.read(5 << 20)
	link, err := isp.Attach(s.Laptop)
	s.must(err)
	s.must(s.SetZone(zoneWith(s.Lab, lab.LaptopName, s.Laptop.Addrs())))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s.must(s.socks.Await(ctx, "local address added", len(link.Addrs)))
	// A path that the gateway has proved is probed with larger packets.
	s.awaitOctets(isp, s.Laptop, 2000)
	d.read(5 << 20)
	s.must(s.ISP[1].Unaddress(s.Laptop))
	s.must(s.ISP[1].Cut(s.Laptop))
	d.read(d.size - d.got)
	s.wantExactEnd()
	moved := s.gw.Failovers()
	if !slices.ContainsFunc(moved, func(f lab.Failover) bool {
		_, remote, _ := strings.Cut(f.To, ">")
		to, err := netip.ParseAddrPort(remote)
		return err == nil && onThird(to.Addr())
	}) {
		t.Errorf("the gateway's data did not move to the new uplink: %+v", moved)
	}
}

// A gateway that gets an address while it runs is dialled at it.
func TestGatewayGetsAnAddress(t *testing.T) {
	t.Parallel()
	var isp *testnet.ISP
	s := newSceneWith(t, func(l *lab.Lab) options {
		isp = thirdISP(t, l)
		if _, err := isp.Attach(l.Laptop); err != nil {
			t.Fatal(err)
		}
		return options{}
	})
	link, err := isp.Attach(s.Site)
	s.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	s.must(s.gw.Await(ctx, "local address added", len(link.Addrs)))
	s.must(s.SetZone(zoneWith(s.Lab, lab.GatewayName, link.Addrs)))
	const up = 2 << 20
	s.must(s.transfer(up, 1<<10, new(meter)))
	s.awaitOctets(isp, s.Site, up)
	s.wantExactEnd()
}
