package netsim

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

// source sends count packets, one each interval; sink keeps what arrives.
type source struct {
	src, dst netip.AddrPort
	next     Time
	interval time.Duration
	left     int
	size     int
	ready    bool
	fragment bool
}

func (s *source) Deliver(Time, Packet) {}
func (s *source) Deadline() (Time, bool) {
	return s.next, s.left > 0
}
func (s *source) Expire(now Time) { s.ready = true }
func (s *source) Poll(now Time) (Packet, bool) {
	if !s.ready {
		return Packet{}, false
	}
	s.ready = false
	s.left--
	s.next = now.Add(s.interval)
	return Packet{Src: s.src, Dst: s.dst, Data: bytes.Repeat([]byte{byte(s.left)}, s.size), Fragment: s.fragment, ECT: true}, true
}

type sink struct {
	at   []Time
	got  []Packet
	back []Packet
}

func (s *sink) Deliver(now Time, p Packet) {
	s.at, s.got = append(s.at, now), append(s.got, p)
}
func (s *sink) Deadline() (Time, bool) { return 0, false }
func (s *sink) Expire(Time)            {}
func (s *sink) Poll(Time) (p Packet, ok bool) {
	if len(s.back) == 0 {
		return p, false
	}
	p, s.back = s.back[0], s.back[1:]
	return p, true
}

var (
	left  = netip.MustParseAddrPort("10.0.0.1:1000")
	right = netip.MustParseAddrPort("10.0.0.2:2000")
)

// run sends count packets of 1,000 octets a millisecond apart over a link.
func run(t *testing.T, seed uint64, c Config, count int) (*Net, *sink, *Link, []byte) {
	t.Helper()
	n := New(seed)
	var trace bytes.Buffer
	n.Trace = &trace
	from := &source{src: left, dst: right, next: Start, interval: time.Millisecond, left: count, size: 1000}
	to := &sink{}
	n.Add(from)
	n.Add(to)
	l := n.Join("link", from, []netip.Addr{left.Addr()}, to, []netip.Addr{right.Addr()}, c, c)
	if err := n.Run(Start.Add(time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	return n, to, l, trace.Bytes()
}

func TestDelay(t *testing.T) {
	_, to, _, _ := run(t, 1, Config{Delay: 30 * time.Millisecond}, 10)
	if len(to.at) != 10 || to.at[0] != Start.Add(30*time.Millisecond) {
		t.Errorf("arrivals %v", to.at)
	}
}

func TestLossRate(t *testing.T) {
	n, to, _, _ := run(t, 1, Config{Loss: 0.2}, 10000)
	if lost := n.Counts().Lost; lost < 1800 || lost > 2200 || len(to.got) != 10000-lost {
		t.Errorf("%d of 10000 lost, %d arrived", lost, len(to.got))
	}
}

func TestBurstsAreLong(t *testing.T) {
	_, to, _, _ := run(t, 1, Config{Burst: Burst{Enter: 0.01, Leave: 0.1}}, 10000)
	longest := 0
	for i := 1; i < len(to.got); i++ {
		longest = max(longest, int(to.at[i]-to.at[i-1])/int(time.Millisecond))
	}
	if longest < 10 {
		t.Errorf("the longest burst lost %d packets", longest)
	}
}

func TestRateAndQueue(t *testing.T) {
	// 1,000 packets of 1,000 octets in a second over 500,000 octets a second:
	// half of them pass, but for what the queue holds.
	n, to, _, _ := run(t, 1, Config{Rate: 500_000, Queue: 10_000}, 1000)
	if dropped := n.Counts().Queued; dropped < 450 || dropped > 500 || len(to.got)+dropped != 1000 {
		t.Errorf("%d dropped, %d arrived", dropped, len(to.got))
	}
}

func TestReorderDuplicateCorruptMTU(t *testing.T) {
	n, to, _, _ := run(t, 1, Config{Reorder: 0.1, ReorderBy: 5 * time.Millisecond, Duplicate: 0.1, Corrupt: 0.1}, 1000)
	c := n.Counts()
	if c.Reordered < 50 || c.Duplicated < 50 || c.Corrupted < 50 || len(to.got) != 1000+c.Duplicated {
		t.Errorf("%+v, %d arrived", c, len(to.got))
	}
}

// always has a deadline that Expire does not end.
type always struct{ sink }

func (*always) Deadline() (Time, bool) { return Start, true }

func TestTimeThatDoesNotPassIsAnError(t *testing.T) {
	n := New(1)
	n.Add(&always{})
	if err := n.Run(Start.Add(time.Second), nil); err == nil {
		t.Error("no error")
	}
}

// A packet of 1,000 octets is one of 1,028 with its headers.
func TestMTU(t *testing.T) {
	if n, to, _, _ := run(t, 1, Config{MTU: 1028}, 10); len(to.got) != 10 {
		t.Errorf("packets that fit: %+v", n.Counts())
	}
	for _, fragment := range []bool{false, true} {
		n := New(1)
		from, to := &source{src: left, dst: right, next: Start, interval: time.Millisecond, left: 10, size: 1000, fragment: fragment}, &sink{}
		n.Add(from)
		n.Add(to)
		l := n.Join("link", from, []netip.Addr{left.Addr()}, to, []netip.Addr{right.Addr()}, Config{}, Config{})
		told := 0
		n.TooBig = func(p Packet, mtu int) {
			if p.Len() != 1028 || mtu != 1027 {
				t.Errorf("told of %d octets, MTU %d", p.Len(), mtu)
			}
			told++
		}
		n.At(Start.Add(4500*time.Microsecond), func() { l.SetMTU(1027) })
		if err := n.Run(Start.Add(time.Hour), nil); err != nil {
			t.Fatal(err)
		}
		switch c := n.Counts(); {
		case fragment && (len(to.got) != 10 || c.Fragmented != 5 || told != 0),
			!fragment && (len(to.got) != 5 || c.TooBig != 5 || told != 5):
			t.Errorf("fragments allowed %v: %d arrived, %+v, told %d times", fragment, len(to.got), c, told)
		}
	}
}

func TestCutOneDirection(t *testing.T) {
	n := New(1)
	from, to := &source{src: left, dst: right, next: Start, left: 5, interval: 1}, &sink{back: []Packet{{Src: right, Dst: left}}}
	n.Add(from)
	n.Add(to)
	l := n.Join("l", from, []netip.Addr{left.Addr()}, to, []netip.Addr{right.Addr()}, Config{}, Config{})
	l.Cut(true, false)
	if err := n.Run(Start.Add(time.Second), nil); err != nil {
		t.Fatal(err)
	}
	if up, down := l.Packets(); up != 0 || down != 1 {
		t.Errorf("packets up %d, down %d", up, down)
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	c := Config{Delay: time.Millisecond, Jitter: 3 * time.Millisecond, Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1}
	_, _, _, a := run(t, 7, c, 500)
	_, _, _, b := run(t, 7, c, 500)
	_, _, _, other := run(t, 8, c, 500)
	if !bytes.Equal(a, b) {
		t.Error("one seed, two traces")
	}
	if bytes.Equal(a, other) {
		t.Error("two seeds, one trace")
	}
}

func TestNATAdmitsAnswersOnly(t *testing.T) {
	n := New(1)
	from, to := &source{src: left, dst: right, next: Start, left: 1}, &sink{}
	back := &sink{}
	n.Add(from)
	n.Add(to)
	public := netip.MustParseAddr("192.0.2.1")
	l := n.Join("l", from, []netip.Addr{left.Addr()}, to, []netip.Addr{right.Addr()}, Config{}, Config{})
	l.a.node = back
	l.NAT(public, time.Minute)
	if err := n.Run(Start.Add(time.Second), nil); err != nil {
		t.Fatal(err)
	}
	if len(to.got) != 1 || to.got[0].Src.Addr() != public {
		t.Fatalf("outside got %v", to.got)
	}
	to.back = []Packet{{Src: right, Dst: to.got[0].Src}, {Src: right, Dst: netip.AddrPortFrom(public, 9)}}
	if err := n.Run(n.Now().Add(time.Second), nil); err != nil {
		t.Fatal(err)
	}
	if len(back.got) != 1 || back.got[0].Dst != left {
		t.Errorf("inside got %v", back.got)
	}
	l.Rebind()
	to.back = []Packet{{Src: right, Dst: to.got[0].Src}}
	if err := n.Run(n.Now().Add(time.Second), nil); err != nil {
		t.Fatal(err)
	}
	if len(back.got) != 1 {
		t.Errorf("a forgotten mapping admits packets: %v", back.got)
	}
}

// A queue that fills up marks first and drops later.
func TestMarkAndDropECT(t *testing.T) {
	n, to, _, _ := run(t, 1, Config{Rate: 500_000, Queue: 10_000, Mark: 5_000}, 1000)
	marked := 0
	for _, p := range to.got {
		if p.CE {
			marked++
		}
	}
	if c := n.Counts(); marked != c.Marked || marked < 400 || c.Queued < 400 || to.got[0].CE {
		t.Errorf("%d of %d marked: %+v", marked, len(to.got), c)
	}
	if _, to, _, _ := run(t, 1, Config{DropECT: true}, 10); len(to.got) != 0 {
		t.Errorf("%d ECN-capable packets pass", len(to.got))
	}
}
