package testnet

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m, "internal/testnet", nil)) }

// world is two hosts and two providers.
func world(t *testing.T) (n *Net, left, right *Host, isps [2]*ISP) {
	t.Helper()
	n = New()
	t.Cleanup(n.Close)
	var err error
	if left, err = n.Host("left"); err != nil {
		t.Fatal(err)
	}
	if right, err = n.Host("right"); err != nil {
		t.Fatal(err)
	}
	for i := range isps {
		if isps[i], err = n.ISP(fmt.Sprint("isp", i+1), i+1, 6_250_000); err != nil {
			t.Fatal(err)
		}
		for _, h := range []*Host{left, right} {
			if _, err := isps[i].Attach(h); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n, left, right, isps
}

// passes sends a datagram from one host's address to another's and reports
// whether it arrives.
func passes(t *testing.T, from, to *Host, i int) bool {
	t.Helper()
	src, dst := from.Addrs()[i].String(), to.Addrs()[i].String()
	in, err := to.ListenPacket(net.JoinHostPort(dst, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := from.ListenPacket(net.JoinHostPort(src, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.WriteTo([]byte("x"), in.LocalAddr()); err != nil {
		return false
	}
	in.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, _, err = in.ReadFrom(make([]byte, 10))
	return err == nil
}

func TestCutsAndCarrier(t *testing.T) {
	_, left, right, isps := world(t)
	check := func(when string, leftToRight, rightToLeft bool) {
		t.Helper()
		for i := range 2 { // IPv4 and IPv6 over the first provider
			if got := passes(t, left, right, i); got != leftToRight {
				t.Errorf("%s: left to right, address %d: %v", when, i, got)
			}
			if got := passes(t, right, left, i); got != rightToLeft {
				t.Errorf("%s: right to left, address %d: %v", when, i, got)
			}
		}
		if !passes(t, left, right, 2) {
			t.Errorf("%s: the second provider does not pass", when)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("at first", true, true)
	must(isps[0].Cut(right))
	check("cut to the right", false, true)
	must(isps[0].Restore(right))
	must(isps[0].Cut(left))
	check("cut to the left", true, false)
	must(isps[0].Cut())
	check("cut", false, false)
	must(isps[0].Restore())
	check("restored", true, true)
	must(isps[0].Carrier(left, false))
	check("carrier lost", false, false)
}

func TestRate(t *testing.T) {
	_, left, right, isps := world(t)
	l, err := right.Listen(net.JoinHostPort(right.Addrs()[0].String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan float64)
	go func() { // ends after a second of data
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		start, n := time.Now(), 0
		buf := make([]byte, 1<<16)
		for time.Since(start) < time.Second {
			k, err := c.Read(buf)
			if err != nil {
				break
			}
			n += k
		}
		got <- float64(n) * 8 / time.Since(start).Seconds() / 1e6
	}()
	c, err := left.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() { // ends when the other side closes
		buf := make([]byte, 1<<16)
		for {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}()
	if rate := <-got; rate < 25 || rate > 60 {
		t.Errorf("%.0f Mbit/s over a link of 50", rate)
	}
	if n, err := isps[0].Octets(right); err != nil || n < 1_000_000 {
		t.Errorf("%d octets counted, %v", n, err)
	}
}
