package e2e

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// asked is how many questions the site's DNS servers got.
func (s *scene) asked() (n int) {
	for _, d := range s.DNS {
		n += d.Total()
	}
	return n
}

// Failover is a matter of those whose connection it is: with all DNS servers
// dead, a path that dies is left as fast as ever, and nobody is asked.
func TestN15FailoverWithoutDNS(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	var progress meter
	before := 0
	cut := when(t, &progress, 3<<20, func() {
		for _, d := range s.DNS {
			for _, name := range []string{lab.SiteName, lab.GatewayName, lab.LaptopName} {
				d.SetFault(name, dnstest.Fault{Silent: true})
				d.SetFault("_mhsctp."+name, dnstest.Fault{Silent: true})
			}
		}
		before = s.asked()
		if err := s.ISP[0].Cut(); err != nil {
			t.Error(err)
		}
	})
	s.must(s.transfer(8<<20, 12<<20, &progress))
	<-cut
	moved := append(s.gw.Failovers(), s.socks.Failovers()...)
	if len(moved) == 0 {
		t.Error("no failover: the cut came too late")
	}
	for _, f := range moved {
		if f.StallMS > 1000 {
			t.Errorf("stall of %.0f ms", f.StallMS)
		}
	}
	if n := s.asked() - before; before == 0 || n != 0 {
		t.Errorf("the failover asked the DNS %d times (%d times before)", n, before)
	}
	s.wantExactEnd()
}

// A set-up chunk costs its sender nothing, so it must not cost a question: else
// who forges source addresses has us flood the DNS.
func TestN27ForgedHandshakesAskNothing(t *testing.T) {
	t.Parallel()
	const packets = 10_000
	s := newScene(t, nil)
	s.must(s.transfer(1, 1, new(meter))) // all names that are needed have been asked for
	target := netip.AddrPortFrom(v4Of(t, s.Site), 9899)
	before, arrived := s.asked(), datagrams(t, s.Site)
	s.must(s.Laptop.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for i := range packets {
			src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, 22, byte(i >> 8), byte(i)}), 9899)
			p := forged(src, target, setup(i))
			if err := unix.Sendto(fd, p, 0, &unix.SockaddrInet4{Addr: target.Addr().As4()}); err != nil {
				return err
			}
		}
		return nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for datagrams(t, s.Site)-arrived < packets*9/10 { // the kernel may drop some of a burst
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d of %d datagrams came to the site", datagrams(t, s.Site)-arrived, packets)
		}
	}
	s.must(s.transfer(1, 1, new(meter))) // what came before has been handled
	if n := s.asked() - before; n != 0 {
		t.Errorf("%d forged set-up packets caused %d questions", packets, n)
	}
}

// v4Of returns an IPv4 address of a host.
func v4Of(t *testing.T, h *testnet.Host) netip.Addr {
	t.Helper()
	for _, a := range h.Addrs() {
		if a.Is4() {
			return a
		}
	}
	t.Fatal("the host has no IPv4 address")
	return netip.Addr{}
}

// datagrams is how many UDP datagrams a host's kernel has received for its
// sockets.
func datagrams(t *testing.T, h *testnet.Host) (n int) {
	t.Helper()
	err := h.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			if _, err := fmt.Sscanf(line, "Udp: %d", &n); err == nil {
				return nil
			}
		}
		return fmt.Errorf("no counters of UDP in %s", b)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// setup is an SCTP packet: INIT, or COOKIE ECHO with a cookie of nobody's.
func setup(i int) []byte {
	b := make([]byte, 12, 256)
	binary.BigEndian.PutUint16(b[0:], uint16(20000+i%40000))
	binary.BigEndian.PutUint16(b[2:], 5000)
	if i%2 == 0 {
		b = append(b, 1, 0, 0, 0) // INIT (RFC 9260 section 3.3.2)
		b = binary.BigEndian.AppendUint32(b, uint32(i+1))
		b = binary.BigEndian.AppendUint32(b, 1<<20)
		b = append(b, 0, 16, 0, 16)
		b = binary.BigEndian.AppendUint32(b, uint32(i))
		b = append(b, 0xc0, 6, 0, 8, 0x6d, 0x68, 0, 1) // our adaptation layer (RFC 5061 section 4.2.6)
		b = append(b, 0x80, 5, 0, 128)                 // PAD: room for the answer (RFC 4820)
		b = append(b, make([]byte, 124)...)
	} else {
		binary.BigEndian.PutUint32(b[4:], uint32(i))
		b = append(b, 10, 0, 0, 0) // COOKIE ECHO (RFC 9260 section 3.3.11)
		b = append(b, make([]byte, 120)...)
	}
	binary.BigEndian.PutUint16(b[14:], uint16(len(b)-12))
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// forged is an IPv4 packet with a UDP datagram, without checksum, from anybody.
func forged(src, dst netip.AddrPort, payload []byte) []byte {
	b := make([]byte, 28, 28+len(payload))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP // the kernel fills in length and checksum
	copy(b[12:], src.Addr().AsSlice())
	copy(b[16:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[20:], src.Port())
	binary.BigEndian.PutUint16(b[22:], dst.Port())
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	return append(b, payload...)
}
