package testnet

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { os.Exit(Main(m, "internal/testnet", nil)) }

// world is two hosts and two providers.
func world(t *testing.T, lines ...Line) (n *Net, left, right *Host, isps [2]*ISP) {
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
		if i < len(lines) {
			if err := isps[i].Degrade(lines[i]); err != nil {
				t.Fatal(err)
			}
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
// whether it arrives. One that should has time for a router to ask a second
// time for its neighbour's hardware address.
func passes(t *testing.T, from, to *Host, i int, should bool) bool {
	t.Helper()
	patience := 200 * time.Millisecond
	if should {
		patience = 3 * time.Second
	}
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
	in.SetReadDeadline(time.Now().Add(patience))
	_, _, err = in.ReadFrom(make([]byte, 10))
	return err == nil
}

func TestCutsAndCarrier(t *testing.T) {
	t.Run("direct", func(t *testing.T) { cutsAndCarrier(t) })
	t.Run("with lines", func(t *testing.T) { cutsAndCarrier(t, Line{Delay: time.Millisecond}) })
}

func cutsAndCarrier(t *testing.T, lines ...Line) {
	t.Parallel()
	_, left, right, isps := world(t, lines...)
	check := func(when string, leftToRight, rightToLeft bool) {
		t.Helper()
		for i := range 2 { // IPv4 and IPv6 over the first provider
			if got := passes(t, left, right, i, leftToRight); got != leftToRight {
				t.Errorf("%s: left to right, address %d: %v", when, i, got)
			}
			if got := passes(t, right, left, i, rightToLeft); got != rightToLeft {
				t.Errorf("%s: right to left, address %d: %v", when, i, got)
			}
		}
		if !passes(t, left, right, 2, true) {
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
	must(isps[0].Carrier(left, true))
	check("carrier back", true, true)
	must(isps[0].Device(left, false))
	if passes(t, right, left, 0, false) { // the IPv6 address is gone altogether
		t.Error("passes to a device that is off")
	}
	must(isps[0].Device(left, true))
	check("device on", true, true)
}

// An answer is a datagram that came back.
type answer struct {
	number int
	took   time.Duration
}

// ping has an echo server at right answer count datagrams of left's, and
// returns what comes back.
func ping(t *testing.T, left, right *Host, i, count int) (answers []answer) {
	t.Helper()
	echo, err := right.ListenPacket(net.JoinHostPort(right.Addrs()[i].String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() { // ends when echo is closed
		buf := make([]byte, 100)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			echo.WriteTo(buf[:n], from)
		}
	}()
	c, err := left.Dial("udp", echo.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Few at a time, so that no socket's buffer overflows on a busy machine:
	// the lines alone lose any.
	sent := make([]time.Time, count)
	pace := time.Tick(time.Millisecond)
	go func() { // ends with the last of them, or with c
		for k := range sent {
			if k > 0 {
				<-pace
			}
			sent[k] = time.Now()
			if _, err := c.Write([]byte{byte(k), byte(k >> 8)}); err != nil {
				return // ping is over
			}
		}
	}()
	for buf := make([]byte, 100); len(answers) < count; {
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := c.Read(buf); err != nil {
			break
		}
		k := int(buf[0]) | int(buf[1])<<8
		answers = append(answers, answer{k, time.Since(sent[k])})
	}
	return answers
}

func TestLines(t *testing.T) {
	t.Parallel()
	// Four lines are passed on the way there and back.
	_, left, right, _ := world(t, Line{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond}, Line{Loss: 0.1})
	for i := range 2 {
		ping(t, left, right, i, 1) // neighbours get to know one another
		all := ping(t, left, right, i, 20)
		if len(all) != 20 {
			t.Fatalf("address %d: %d of 20 datagrams came back", i, len(all))
		}
		soonest := all[0].took
		for n, a := range all {
			soonest = min(soonest, a.took)
			if a.number != n {
				t.Errorf("address %d: datagram %d came in place %d", i, a.number, n)
			}
		}
		if soonest < 40*time.Millisecond || soonest > 200*time.Millisecond { // others may have waited for a processor
			t.Errorf("address %d: there and back in %v, want 40 to 60 ms", i, soonest)
		}
		// 0.9^4 of 600 is 394, give or take 12.
		if n := len(ping(t, left, right, 2+i, 600)); n < 330 || n > 460 {
			t.Errorf("address %d: %d of 600 datagrams came back over lines that lose a tenth", 2+i, n)
		}
	}
}

// Large bursts, which the kernel passes in one piece where it can, get through
// lines whole.
func TestBurstsPassLines(t *testing.T) {
	t.Parallel()
	_, left, right, _ := world(t, Line{Delay: time.Millisecond})
	for i := range 2 {
		l, err := right.Listen(net.JoinHostPort(right.Addrs()[i].String(), "0"))
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		go func() { // ends with one connection
			defer l.Close()
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			c.Write(data)
		}()
		c, err := left.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
			t.Errorf("address %d: %d of %d octets, %v", i, len(got), len(data), err)
		}
		c.Close()
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	_, left, right, isps := world(t)
	var seen [][]byte
	stop, err := isps[0].Watch(right, func(p []byte) { seen = append(seen, bytes.Clone(p)) })
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		passes(t, left, right, i, true)
		passes(t, right, left, i, true) // not to right: not seen
	}
	if err := isps[0].Cut(right); err != nil {
		t.Fatal(err)
	}
	passes(t, left, right, 0, false) // swallowed: not seen
	stop()
	udp := 0
	for _, p := range seen {
		switch {
		case p[0]>>4 == 4 && p[9] == 17 && len(p) == 20+8+1 && p[28] == 'x':
			udp++
		case p[0]>>4 == 6 && p[6] == 17 && len(p) == 40+8+1 && p[48] == 'x':
			udp++
		case p[0]>>4 == 6 && (p[6] == 58 || p[24] == 0xff): // neighbour discovery
		default:
			t.Errorf("saw % x", p)
		}
	}
	if udp != 2 {
		t.Errorf("saw %d datagrams, want 2", udp)
	}
}

// Close kills what runs inside and leaves no descriptor and no thread behind.
func TestCloseLeavesNothing(t *testing.T) {
	before := open(t)
	n := New()
	h, err := n.Host("host")
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.ISP("isp", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Degrade(Line{Loss: 0.5}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Attach(h); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Watch(h, func([]byte) {}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	n.Close()
	n.Close() // harmless
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the command ended with %v, want it killed", err)
	}
	if after := open(t); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	goleak.VerifyNone(t)
}

// open counts the descriptors of this process.
func open(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A process that is killed takes with it what it started inside.
func TestKilledProcessLeavesNothing(t *testing.T) {
	if os.Getenv("MH_TESTNET_VICTIM") != "" {
		n := New()
		h, err := n.Host("host")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sleep", "1000")
		cmd.Stdout = os.Stdout // open for as long as it lives
		if err := h.Start(cmd); err != nil {
			t.Fatal(err)
		}
		fmt.Println("started")
		select {}
	}
	victim := exec.Command(os.Args[0], "-test.run=^TestKilledProcessLeavesNothing$")
	victim.Env = append(os.Environ(), "MH_TESTNET_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); line != "started\n" || err != nil {
		t.Fatalf("the victim said %q, %v", line, err)
	}
	victim.Process.Kill()
	ended := make(chan error, 1)
	go func() { // ends when nobody holds the pipe any more
		_, err := io.ReadAll(r)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the command lives on")
	}
	victim.Wait()
}

func TestRate(t *testing.T) {
	t.Parallel()
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
