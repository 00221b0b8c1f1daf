package nameservers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/dnsreal"
	"github.com/sctpmh/mh/internal/mhdial"
	"github.com/sctpmh/mh/noid"
	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

// The addresses of the hosts, of which all of the loopback network is ours.
var (
	laptopAddrs = []netip.Addr{netip.MustParseAddr("127.1.0.1"), netip.MustParseAddr("127.1.0.2")}
	serverAddrs = []netip.Addr{netip.MustParseAddr("127.2.0.1"), netip.MustParseAddr("127.2.0.2")}
)

const hostPort = 9899

// patience is how long anything may take on a machine that is busy. The records
// are asked for again after 5 s, and a path is confirmed in a round trip.
const patience = time.Minute

// A site is a server whose zone an operator edits while streams run to it.
type site struct {
	t      *testing.T
	knot   *dnsreal.Server
	zone   string // its file
	serial int
	conn   *tcpemu.Conn
}

func newSite(t *testing.T) *site {
	s := &site{t: t, serial: 1} // of the zone as it is at first
	var dir string
	s.knot, dir = startKnot(t)
	s.zone = filepath.Join(dir, "plain.example")
	s.edit(serverAddrs[0])
	endpoint := func(addrs []netip.Addr) *sctpmh.Endpoint {
		var local []netip.AddrPort
		for _, a := range addrs {
			local = append(local, netip.AddrPortFrom(a, hostPort))
		}
		e, err := sctpmh.Listen(local, &sctpmh.Config{Adaptation: tcpemu.AdaptationCode})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	client, host := endpoint(laptopAddrs), endpoint(serverAddrs)
	names := newResolver(t, noid.Config{Upstreams: plainly(knotAddr), Lab: true})
	l, err := tcpemu.Listen(host, &tcpemu.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	d := &tcpemu.Dialer{Endpoint: client, Resolver: &mhdial.Resolver{Noid: names, Local: func() []netip.Addr { return laptopAddrs }}}
	now, end := context.WithCancel(context.Background())
	t.Cleanup(func() { end(); d.Close(now); l.Shutdown(now) })
	echoed := make(chan error, 1)
	go func() { // ends with the connection
		c, err := l.Accept()
		if err == nil {
			_, err = io.Copy(c, c)
		}
		echoed <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := d.DialContext(ctx, "mh", "host.plain.example:80")
	if err != nil {
		t.Fatal(err)
	}
	s.conn = c.(*tcpemu.Conn)
	t.Cleanup(func() { c.Close(); <-echoed })
	return s
}

// edit has the zone give the server some addresses and the name server read it
// anew.
func (s *site) edit(addrs ...netip.Addr) {
	s.t.Helper()
	s.serial++
	text := fmt.Sprintf("$TTL 5\n@ SOA ns hostmaster %d 3600 600 86400 5\n@ NS ns\nns A %v\n", s.serial, knotAddr)
	text += fmt.Sprintf("_mhsctp.host SVCB 1 host port=%d key65280=\"\\001\\001\" mandatory=key65280\n", hostPort)
	for _, a := range addrs {
		text += fmt.Sprintf("host A %v\n", a)
	}
	if err := os.WriteFile(s.zone+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.zone+".new", s.zone); err != nil {
		s.t.Fatal(err)
	}
	if err := s.knot.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	if err := s.knot.Await(fmt.Sprintf("[plain.example.] loaded, serial %d -> %d", s.serial-1, s.serial)); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until the paths are as they should be.
func (s *site) await(why string, as func(map[netip.Addr]sctpmh.PathInfo) bool) {
	s.t.Helper()
	late := time.After(patience)
	for {
		changed := s.conn.PathsChanged()
		paths := make(map[netip.Addr]sctpmh.PathInfo)
		for _, p := range s.conn.Paths() {
			if p.Confirmed && p.State == sctpmh.Active {
				if old, ok := paths[p.Remote.Addr()]; !ok || !old.InUse { // there are several from here
					paths[p.Remote.Addr()] = p
				}
			}
		}
		if as(paths) {
			return
		}
		select {
		case <-changed:
		case <-late:
			s.t.Fatalf("%s: not so after %v: %+v", why, patience, s.conn.Paths())
		}
	}
}

// stream sends octets and takes them back, until stop is closed, and checks that
// none is lost.
func (s *site) stream(stop <-chan struct{}) error {
	sent, got := make([]byte, 4096), make([]byte, 4096)
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		for i := range sent {
			sent[i] = byte(n + i)
		}
		if err := s.conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if _, err := s.conn.Write(sent); err != nil {
			return fmt.Errorf("block %d: %w", n, err)
		}
		if _, err := io.ReadFull(s.conn, got); err != nil {
			return fmt.Errorf("block %d: %w", n, err)
		}
		if !bytes.Equal(sent, got) {
			return errors.New("an octet is lost or changed")
		}
	}
}

// N08: an operator gives a host that has connections another address in the zone, and takes
// the first away. The one becomes a path of the connections that there are, and the other is
// left, and no octet is lost.
func TestZoneReload(t *testing.T) {
	s := newSite(t)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.stream(stop) }() // ends with stop, or the connection
	first, second := serverAddrs[0], serverAddrs[1]
	type paths = map[netip.Addr]sctpmh.PathInfo
	s.await("the only one", func(p paths) bool { return p[first].InUse && !p[second].Confirmed })
	s.edit(first, second)
	s.await("one more", func(p paths) bool { return p[second].Confirmed })
	s.edit(second)
	s.await("the first is withdrawn", func(p paths) bool { return p[second].InUse && !p[first].InUse })
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
