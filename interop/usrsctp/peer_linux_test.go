package usrsctp

import (
	"flag"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/testnet"
	"github.com/sctpmh/mh/interop/pattern"
)

var bulk = flag.Int("bulk", 200, "MiB that TestBulk sends each way")

// quick are options with which a dead path is found within a second.
var quick = []string{"-rto-min", "100", "-rto-initial", "200", "-rto-max", "400", "-path-retrans", "2", "-heartbeat", "300"}

// A world is two hosts joined by two providers.
type world struct {
	left, right *testnet.Host
	isps        [2]*testnet.ISP
}

func newWorld(t *testing.T) *world {
	t.Helper()
	n := testnet.New()
	t.Cleanup(n.Close)
	w := new(world)
	var err error
	for name, h := range map[string]**testnet.Host{"left": &w.left, "right": &w.right} {
		if *h, err = n.Host(name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range w.isps {
		if w.isps[i], err = n.ISP(fmt.Sprint("isp", i+1), i+1, 0); err != nil {
			t.Fatal(err)
		}
		for _, h := range []*testnet.Host{w.left, w.right} {
			if _, err := w.isps[i].Attach(h); err != nil {
				t.Fatal(err)
			}
		}
	}
	return w
}

// addrs are a host's IPv4 addresses, as commands have them.
func addrs(h *testnet.Host) string { return addrsOf(h, netip.Addr.Is4) }

// addrsOf are those of a host's addresses that are wanted.
func addrsOf(h *testnet.Host, wanted func(netip.Addr) bool) string {
	var list []string
	for _, a := range h.Addrs() {
		if wanted(a) {
			list = append(list, a.String())
		}
	}
	return strings.Join(list, ",")
}

// peers starts one in each host; the right one listens.
func (w *world) peers(t *testing.T, options ...string) (left, right *process) {
	t.Helper()
	left, right = start(t, w.left, options...), start(t, w.right, options...)
	right.do("listen port=5000 udp=9899 from=%s", addrs(w.right))
	return left, right
}

// dial is the left one's command.
func (w *world) dial() string {
	return fmt.Sprintf("dial to=%s port=5000 udp=9899 from=%s", addrs(w.right), addrs(w.left))
}

// connected is both with an association.
func (w *world) connected(t *testing.T, options ...string) (left, right *process) {
	t.Helper()
	left, right = w.peers(t, options...)
	left.do(w.dial())
	left.want("up")
	right.want("up")
	return left, right
}

// A batch is the arguments of the command "send".
type batch struct {
	stream, streams, ppid int
	unordered             bool
	size, count, seed     int
}

func (b batch) String() string {
	unordered := 0
	if b.unordered {
		unordered = 1
	}
	return fmt.Sprintf("send stream=%d streams=%d ppid=%d unordered=%d size=%d count=%d seed=%d", b.stream, b.streams, b.ppid, unordered, b.size, b.count, b.seed)
}

// expected are the sums of what arrives.
func expected(batches ...batch) (lines []string) {
	var sums pattern.Sums
	for _, b := range batches {
		message := make([]byte, b.size)
		for i := range b.count {
			pattern.Fill(message, uint64(b.seed), uint64(i))
			sums.Add(uint16(b.stream+i%b.streams), uint32(b.ppid), message, true)
		}
	}
	for stream, sum := range sums.All() {
		lines = append(lines, fmt.Sprintf("stream=%d %v", stream, sum))
	}
	return lines
}

// The handshake; what is negotiated with itself; both paths are used.
func TestHandshake(t *testing.T) {
	w := newWorld(t)
	left, right := w.peers(t)
	left.do(w.dial())
	for _, p := range []*process{left, right} {
		up := p.want("up ")
		for _, word := range []string{"out=10", "in=10", "udp=9899", "ecn=1", "pr=1", "auth=1", "asconf=1", "reconfig=1", "interleaving=0"} {
			if !strings.Contains(up+" ", " "+word+" ") {
				t.Errorf("%s: %q lacks %q", p.name, up, word)
			}
		}
	}
	right.want("addr addr=10.2.1.2 state=active") // whoever dials trusts the addresses that it was given
	if got, want := strings.Join(left.answers("paths", "path"), ", "), "addr=10.1.2.2 state=active, addr=10.2.2.2 state=active"; got != want {
		t.Errorf("paths are %s, want %s", got, want)
	}
	left.do("primary addr=10.2.2.2")
}

// The sums and the generator are those of package pattern, echo and order too,
// for messages from one octet to 256 KiB.
func TestMessages(t *testing.T) {
	left, right := newWorld(t).connected(t)
	right.do("mode echo")
	var batches []batch
	for i, size := range []int{1, 7, 8, 9, 1000, 1452, 1453, 16 << 10, 64 << 10, 128<<10 + 3, 256 << 10} {
		b := batch{stream: 2 * (i % 5), streams: 2, ppid: 46 + i, size: size, count: 9, seed: i}
		batches = append(batches, b)
		left.tell(b.String())
		left.want("sent count=9")
	}
	right.wantSums(expected(batches...))
	left.wantSums(expected(batches...))
}

func TestUnordered(t *testing.T) {
	left, right := newWorld(t).connected(t)
	right.do("mode echo")
	b := batch{stream: 3, streams: 1, ppid: 7, unordered: true, size: 3000, count: 500, seed: 9}
	left.tell(b.String())
	left.want("sent count=500")
	set := func(lines []string) (sets []string) {
		for _, line := range lines {
			before, rest, _ := strings.Cut(line, " chain=")
			sets = append(sets, before+rest[strings.Index(rest, " "):])
		}
		return sets
	}
	for _, p := range []*process{left, right} {
		late, again := time.After(patience), time.NewTicker(10*time.Millisecond)
		defer again.Stop()
		for got, want := "", strings.Join(set(expected(b)), " "); got != want; got = strings.Join(set(p.answers("sums", "sum")), " ") {
			select {
			case <-late:
				t.Fatalf("%s: %s, want %s", p.name, got, want)
			case <-again.C:
			}
		}
	}
}

// 200 MB there, and the same back; the memory of neither grows with it.
func TestBulk(t *testing.T) {
	left, right := newWorld(t).connected(t)
	right.do("mode echo")
	b := batch{streams: 8, ppid: 1, size: 64 << 10, count: *bulk << 4, seed: 1}
	want := expected(b)
	began := time.Now()
	left.tell(b.String())
	left.want("sent")
	left.wantSums(want)
	took := time.Since(began)
	right.wantSums(want)
	t.Logf("%d MiB each way in %v: %.0f Mbit/s each", *bulk, took.Round(time.Millisecond), float64(b.size*b.count)*8e-6/took.Seconds())
	for _, p := range []*process{left, right} {
		const bound = 64 << 10 // KiB: four buffers of 4 MiB, and what they are made of
		if peak := p.peak(); peak > bound {
			t.Errorf("%s has had %d KiB of memory, at most %d", p.name, peak, bound)
		} else {
			t.Logf("%s has had %d KiB of memory", p.name, peak)
		}
	}
	left.do("shutdown")
	left.want("down reason=shutdown")
	right.want("down reason=shutdown")
}

// A path dies while data is under way: it is found dead, nothing is lost, and it
// comes back.
func TestFailover(t *testing.T) {
	w := newWorld(t)
	left, right := w.connected(t, quick...)
	right.want("addr addr=10.2.1.2 state=active")
	b := batch{streams: 4, ppid: 5, size: 10_000, count: 20_000, seed: 3}
	left.tell(b.String())
	if err := w.isps[0].Cut(); err != nil {
		t.Fatal(err)
	}
	left.want("addr addr=10.1.2.2 state=inactive")
	left.want("sent")
	right.wantSums(expected(b))
	if err := w.isps[0].Restore(); err != nil {
		t.Fatal(err)
	}
	left.want("addr addr=10.1.2.2 state=active")
}

// Without any path the association is lost, which only a timer can tell.
func TestLost(t *testing.T) {
	w := newWorld(t)
	left, right := w.connected(t, append(quick, "-assoc-retrans", "3")...)
	for _, isp := range w.isps {
		if err := isp.Cut(); err != nil {
			t.Fatal(err)
		}
	}
	left.tell("send stream=0 streams=1 ppid=0 unordered=0 size=100000 count=1000 seed=0")
	left.want("down reason=lost")
	right.want("down reason=lost")
}

func TestAbort(t *testing.T) {
	left, right := newWorld(t).connected(t)
	left.do("abort")
	left.want("down reason=abort")
	right.want("down reason=abort")
}

// An abort while data waits for a window ends it at once.
func TestAbortUnderLoad(t *testing.T) {
	left, right := newWorld(t).connected(t)
	right.do("mode echo")
	left.tell("send stream=0 streams=10 ppid=0 unordered=0 size=262144 count=100000 seed=0")
	left.tell("abort")
	left.want("ok abort")
	left.want("down reason=abort")
	right.want("down reason=abort")
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	left := start(t, w.left)
	right := start(t, w.right)
	right.do("listen port=5001 udp=9899 from=%s", addrs(w.right))
	left.do(w.dial())
	left.want("down reason=refused")
}

// Both dial at once, and one association comes of it.
func TestBothDial(t *testing.T) {
	w := newWorld(t)
	left, right := w.peers(t)
	left.do("listen port=5000 udp=9899 from=%s", addrs(w.left))
	left.tell(w.dial())
	right.tell("dial to=%s port=5000 udp=9899 from=%s", addrs(w.left), addrs(w.right))
	for _, p := range []*process{left, right} {
		p.want("up ")
	}
	b := batch{streams: 3, ppid: 5, size: 1000, count: 100, seed: 3}
	left.tell(b.String())
	right.tell(b.String())
	left.wantSums(expected(b))
	right.wantSums(expected(b))
}

// One end crashes, which the other cannot know, and dials again.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	left, right := w.connected(t)
	first := batch{streams: 1, ppid: 1, size: 100, count: 10, seed: 1}
	left.tell(first.String())
	right.wantSums(expected(first))
	left.do("forget")
	left.do(w.dial())
	left.want("up ")
	right.want("restart")
	second := batch{streams: 2, ppid: 2, size: 1000, count: 20, seed: 2}
	left.tell(second.String())
	right.wantSums(expected(second))
	right.tell(second.String())
	left.wantSums(expected(second))
}

// The end that listens crashes, goes on listening, and answers what comes for
// the old association with an ABORT.
func TestForgetfulListener(t *testing.T) {
	w := newWorld(t)
	left, right := w.connected(t)
	right.do("mode echo")
	right.do("forget")
	left.tell("send stream=0 streams=1 ppid=1 unordered=0 size=100 count=1 seed=1")
	left.want("down reason=abort")
	left.do(w.dial())
	left.want("up ")
	right.want("up ")
	b := batch{streams: 1, ppid: 1, size: 100, count: 10, seed: 1}
	left.tell(b.String())
	left.wantSums(expected(b)) // it still echoes
}

// IPv6 alone, and with IPv4: each address is a path.
func TestFamilies(t *testing.T) {
	for name, c := range map[string]struct {
		wanted func(netip.Addr) bool
		paths  int
	}{
		"IPv6": {netip.Addr.Is6, 2},
		"both": {netip.Addr.IsValid, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			left, right := start(t, w.left), start(t, w.right)
			right.do("listen port=5000 udp=9899 from=%s", addrsOf(w.right, c.wanted))
			left.do("dial to=%s port=5000 udp=9899 from=%s", addrsOf(w.right, c.wanted), addrsOf(w.left, c.wanted))
			left.want("up ")
			right.want("up ")
			b := batch{streams: 3, ppid: 5, size: 1000, count: 100, seed: 3}
			left.tell(b.String())
			right.wantSums(expected(b))
			for _, p := range []*process{left, right} {
				if got := p.answers("paths", "path"); len(got) != c.paths {
					t.Errorf("%s has the paths %q, want %d", p.name, got, c.paths)
				}
			}
		})
	}
}

// Messages that usrsctp delivers in pieces count once.
func TestPartialDelivery(t *testing.T) {
	left, right := newWorld(t).connected(t, "-partial-delivery-point", "3000", "-rcvbuf", strconv.Itoa(64<<10))
	b := batch{streams: 2, ppid: 1, size: 256 << 10, count: 20, seed: 1}
	left.tell(b.String())
	left.want("sent")
	right.wantSums(expected(b))
}
