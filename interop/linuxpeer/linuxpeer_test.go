package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpmh/mh/interop/pattern"
	"github.com/sctpmh/mh/interop/vm"
	"go.uber.org/goleak"
)

// patience is for a machine that is busy and emulates another one.
const patience = 3 * time.Minute

// Tests that boot guests are called TestGuest...; they are part of "make
// interop" and not of every run.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("INTEROP") != "1" {
		fmt.Fprintln(os.Stderr, "interop/linuxpeer: no guest is booted without INTEROP=1")
		flag.Set("test.skip", "^TestGuest")
	}
	goleak.VerifyTestMain(m)
}

// A talker is a peer to which we talk.
type talker struct {
	testing.TB
	name    string
	process *vm.Process
	lines   chan string
}

// tell gives a command.
func (k *talker) tell(format string, args ...any) {
	k.Helper()
	if _, err := fmt.Fprintf(k.process, format+"\n", args...); err != nil {
		k.Fatal(err)
	}
}

// want waits for a line that begins like this; others are passed over, but
// errors are not.
func (k *talker) want(prefix string) (line string) {
	k.Helper()
	timeout := time.After(patience)
	var passed []string
	for {
		select {
		case line, ok := <-k.lines:
			if !ok {
				k.Fatalf("%s ended, want %q; it said %q", k.name, prefix, passed)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
			if strings.HasPrefix(line, "@ error") {
				k.Fatalf("%s says %q, want %q", k.name, line, prefix)
			}
			passed = append(passed, line)
		case <-timeout:
			k.Fatalf("%s says no %q, but %q", k.name, prefix, passed)
		}
	}
}

// ask gives a command and waits for its answer.
func (k *talker) ask(format string, args ...any) {
	k.Helper()
	k.tell(format, args...)
	verb, _, _ := strings.Cut(fmt.Sprintf(format, args...), " ")
	k.want("@ ok " + verb)
}

// guest boots one with a pair of networks; i is its number on them.
func guest(t testing.TB, i int) *vm.VM {
	t.Helper()
	file := filepath.Join(t.TempDir(), "linuxpeer")
	if err := vm.Build(t.Context(), "github.com/sctpmh/mh/interop/linuxpeer", file); err != nil {
		t.Fatal(err)
	}
	config := vm.Config{
		Modules: []string{"sctp"},
		Files:   map[string]string{"linuxpeer": file},
		Sysctls: []vm.Sysctl{
			{Name: "net.sctp.rto_min", Value: "200"}, {Name: "net.sctp.rto_initial", Value: "500"},
			{Name: "net.sctp.hb_interval", Value: "500"}, {Name: "net.sctp.path_max_retrans", Value: "2"},
		},
	}
	for n := range 2 {
		config.NICs = append(config.NICs, vm.NIC{Addrs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.%d/24", n+1, i))}})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	v, err := vm.Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// start starts a peer that listens at addresses.
func start(t testing.TB, v *vm.VM, name string, udp int, from string) *talker {
	t.Helper()
	p, err := v.Start(vm.Program{Args: []string{"/linuxpeer"}, Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	k := &talker{TB: t, name: name, process: p, lines: make(chan string, 1000)}
	go func() { // ends with the program
		defer close(k.lines)
		for all := bufio.NewScanner(p); all.Scan(); {
			k.lines <- all.Text()
		}
	}()
	k.want("@ ready")
	k.ask("listen port=5000 udp=%d from=%s", udp, from)
	return k
}

// sent is what the sums are to be of "send streams=2 ppid=46".
func sent(size, count, seed int) (lines []string) {
	var sums pattern.Sums
	message := make([]byte, size)
	for i := range count {
		pattern.Fill(message, uint64(seed), uint64(i))
		sums.Add(uint16(i%2), 46, message, true)
	}
	for stream, sum := range sums.All() {
		lines = append(lines, fmt.Sprintf("@ sum stream=%d %v", stream, sum))
	}
	return lines
}

// Two peers on one kernel, with two addresses each.
func TestGuestLoopback(t *testing.T) {
	v := guest(t, 1)
	for _, udp := range []int{9899, 0} {
		t.Run(fmt.Sprint("udp=", udp), func(t *testing.T) { loopback(t, v, udp) })
	}
}

func loopback(t *testing.T, v *vm.VM, udp int) {
	left := start(t, v, "left", udp, "127.0.0.1,127.0.0.2")
	right := start(t, v, "right", udp, "127.0.0.3,127.0.0.4")
	dial := fmt.Sprintf("dial to=127.0.0.3,127.0.0.4 port=5000 udp=%d from=127.0.0.1,127.0.0.2", udp)
	up := func() {
		t.Helper()
		left.ask("%s", dial)
		for _, k := range []*talker{left, right} {
			if line := k.want("@ up"); line != "@ up out=1024 in=1024" {
				t.Errorf("%s: %q", k.name, line)
			}
		}
	}

	right.ask("mode echo")
	for _, c := range []struct{ size, count, unordered int }{{1, 1, 0}, {1000, 500, 0}, {1000, 500, 1}, {5001, 200, 0}, {256 << 10, 4, 0}, {1 << 20, 1, 0}} {
		begin := time.Now()
		up()
		left.tell("send stream=0 streams=2 ppid=46 unordered=%d size=%d count=%d seed=3", c.unordered, c.size, c.count)
		left.want("@ sent count=" + fmt.Sprint(c.count))
		left.ask("paths")
		left.ask("primary addr=127.0.0.4")
		want := sent(c.size, c.count, 3)
		awaitSums(right, want, c.unordered == 1)
		right.ask("shutdown") // it has sent all back
		for _, k := range []*talker{left, right} {
			if line := k.want("@ down"); line != "@ down reason=shutdown" {
				t.Errorf("%s: %q", k.name, line)
			}
		}
		awaitSums(left, want, c.unordered == 1)
		t.Logf("%d messages of %d octets there and back in %v", c.count, c.size, time.Since(begin).Round(time.Millisecond))
	}

	up()
	right.ask("abort")
	for _, k := range []*talker{left, right} {
		if line := k.want("@ down"); line != "@ down reason=abort" {
			t.Errorf("%s: %q", k.name, line)
		}
	}
	right.tell("exit")
	if err := right.process.Wait(); err != nil {
		t.Error(err)
	}
	left.ask("%s", dial)
	if line := left.want("@ down"); line != "@ down reason=refused" {
		t.Errorf("nobody listens: %q", line)
	}
	left.tell("exit")
	if err := left.process.Wait(); err != nil {
		t.Error(err)
	}
}

// awaitSums asks until all has come that was sent.
func awaitSums(k *talker, want []string, anyOrder bool) {
	k.Helper()
	octets := func(line string) string { a, _, _ := strings.Cut(line, " chain="); return a }
	set := func(line string) string { _, b, _ := strings.Cut(line, " set="); return b }
	// There is one processor for those who ask and those who send.
	for pace, timeout := time.Tick(50*time.Millisecond), time.After(patience); ; <-pace {
		var got []string
		k.tell("sums")
		for line := k.want("@ "); line != "@ ok sums"; line = k.want("@ ") {
			got = append(got, line)
		}
		if strings.HasPrefix(fmt.Sprint(got), "[@ down") {
			k.Fatalf("%s says %q", k.name, got)
		}
		got = slices.DeleteFunc(got, func(line string) bool { return !strings.HasPrefix(line, "@ sum ") })
		if slices.EqualFunc(got, want, func(g, w string) bool { return octets(g) == octets(w) }) {
			if !slices.EqualFunc(got, want, func(g, w string) bool { return g == w || anyOrder && set(g) == set(w) }) {
				k.Errorf("%s has %q, want %q", k.name, got, want)
			}
			return
		}
		select {
		case <-timeout:
			k.Fatalf("%s has %q, want %q", k.name, got, want)
		default:
		}
	}
}

// A cable joins devices of two guests. It loses everything while it is cut.
type cable struct{ cut atomic.Bool }

func join2(t *testing.T, a, b *vm.Frames) *cable {
	c := new(cable)
	carry := func(from, to *vm.Frames) { // ends with either guest
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
				return
			}
			if !c.cut.Load() {
				_, _ = to.Write(buf[:n]) // it is gone: so are we
			}
		}
	}
	go carry(a, b)
	go carry(b, a)
	return c
}

// Two kernels with two networks between them.
func TestGuestsOverNetworks(t *testing.T) {
	a, b := guest(t, 1), guest(t, 2)
	cables := [2]*cable{join2(t, a.Frames(0), b.Frames(0)), join2(t, a.Frames(1), b.Frames(1))}
	left := start(t, a, "left", 9899, "10.1.0.1,10.2.0.1")
	right := start(t, b, "right", 9899, "10.1.0.2,10.2.0.2")
	const dialRight = "dial to=10.1.0.2,10.2.0.2 port=5000 udp=9899 from=10.1.0.1,10.2.0.1"
	const dialLeft = "dial to=10.1.0.1,10.2.0.1 port=5000 udp=9899 from=10.1.0.2,10.2.0.2"
	up := func() { t.Helper(); left.want("@ up"); right.want("@ up") }

	// A path dies, and comes back.
	left.ask(dialRight)
	up()
	right.want("@ addr addr=10.2.0.1 state=active") // to whom it was not given it has to be confirmed
	cables[0].cut.Store(true)
	left.tell("send streams=2 ppid=46 size=1000 count=1000 seed=3")
	left.want("@ sent")
	awaitSums(right, sent(1000, 1000, 3), false)
	left.want("@ addr addr=10.1.0.2 state=inactive")
	left.tell("paths")
	left.want("@ path addr=10.1.0.2 state=inactive")
	left.want("@ path addr=10.2.0.2 state=active")
	left.want("@ ok paths")
	cables[0].cut.Store(false)
	left.want("@ addr addr=10.1.0.2 state=active")

	// A peer that has lost everything begins anew, before the other one asks
	// for what it knows no more and gets an ABORT.
	for _, c := range cables {
		c.cut.Store(true)
	}
	left.ask("forget")
	left.ask(dialRight)
	for _, c := range cables {
		c.cut.Store(false)
	}
	left.want("@ up")
	right.want("@ restart")
	left.ask("shutdown")
	left.want("@ down reason=shutdown")
	right.want("@ down reason=shutdown")

	// Both dial while the networks lose everything, so both have before either
	// hears of it.
	for _, c := range cables {
		c.cut.Store(true)
	}
	left.ask(dialRight)
	right.ask(dialLeft)
	for _, c := range cables {
		c.cut.Store(false)
	}
	up()
	left.tell("send streams=2 ppid=46 size=1000 count=10 seed=4")
	awaitSums(right, sent(1000, 10, 4), false)

	// All is lost.
	for _, c := range cables {
		c.cut.Store(true)
	}
	left.tell("send size=1 count=1")
	if line := left.want("@ down"); line != "@ down reason=lost" {
		t.Error(line)
	}
}

// What two peers in one kernel make of each other, both on an emulated
// processor.
func BenchmarkGuestBulk(b *testing.B) {
	v := guest(b, 1)
	left := start(b, v, "left", 9899, "127.0.0.1")
	right := start(b, v, "right", 9899, "127.0.0.3")
	for _, size := range []int{1000, 32 << 10, 256 << 10} {
		b.Run(fmt.Sprint("size=", size), func(b *testing.B) {
			left.ask("dial to=127.0.0.3 port=5000 udp=9899 from=127.0.0.1")
			left.want("@ up")
			right.want("@ up")
			b.SetBytes(int64(size))
			b.ResetTimer()
			left.tell("send size=%d count=%d", size, b.N)
			left.want("@ sent")
			left.ask("shutdown")
			left.want("@ down reason=shutdown") // all is acknowledged
			right.want("@ down reason=shutdown")
		})
	}
}
