package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A rule is what a wire does to frames. The zero value passes all of them.
type rule struct {
	cut   bool          // all vanish, without a sign
	crash bool          // ours with ABORT vanish: who crashes says nothing
	delay time.Duration // one way
	loss  [2]float64    // share that vanishes, by direction; address resolution is spared
	mark  [2]float64    // share of the packets that can tell of congestion that is told to, by direction
	mtu   [2]int        // longer IP packets vanish if they may not be fragmented, by direction; 0: there is no limit
	seed  uint64        // of what is left to chance
}

// The directions of a wire.
const (
	toPeer = iota
	toUs
)

// directions are their names.
var directions = [2]string{toPeer: "to the peer", toUs: "to us"}

// both gives a value to both directions.
func both[T any](v T) [2]T { return [2]T{v, v} }

// A wire carries Ethernet frames between a device of ours and one of the
// peer's, by a rule that may change at any time. Each Read of an end returns a
// frame, each Write takes one.
type wire struct {
	number  int
	ends    [2]io.ReadWriteCloser // where frames to the peer come from, and frames to us
	rule    atomic.Pointer[rule]
	watcher *watcher
	ports   *ports
	capture *atomic.Pointer[capture] // nil inside: nothing is captured
	running sync.WaitGroup
	traffic [2]traffic // by direction
}

// traffic is what a direction of a wire has carried since it was laid. When a
// peer says nothing, it tells whether that is the peer or the wire.
type traffic struct {
	came, went atomic.Int64 // frames
	latest     atomic.Int64 // when the latest one came, in Unix nanoseconds
	giving     atomic.Int64 // since when the far end has not taken one; 0: it has taken all
}

func (f *traffic) String() string {
	age := func(at *atomic.Int64) string {
		if at.Load() == 0 {
			return "never"
		}
		return fmt.Sprint(round(time.Since(time.Unix(0, at.Load()))), " ago")
	}
	text := fmt.Sprintf("%d frames came, the latest %s, %d were handed over", f.came.Load(), age(&f.latest), f.went.Load())
	if f.giving.Load() != 0 {
		text += ", one that was offered " + age(&f.giving) + " is not taken"
	}
	return text
}

// start starts a goroutine for each direction. They end with close.
func (w *wire) start() {
	w.rule.Store(&rule{})
	for d := range 2 {
		w.running.Go(func() { w.carry(d) })
	}
}

// close ends the wire.
func (w *wire) close() {
	w.ends[0].Close()
	w.ends[1].Close()
	w.running.Wait()
}

// onWire bounds the frames that are on their way on a wire with a delay; more
// are lost.
const onWire = 1 << 14

// A parcel is a frame on its way.
type parcel struct {
	due  time.Time
	data []byte
}

func (w *wire) carry(d int) {
	// What is delayed is passed on by a goroutine of its own, and as long as it
	// has anything to do what is not delayed queues behind.
	queue := make(chan parcel, onWire)
	var queued atomic.Int64
	w.running.Go(func() { // ends when queue is closed
		for p := range queue {
			<-time.After(time.Until(p.due))
			w.give(d, p.data)
			queued.Add(-1)
		}
	})
	defer close(queue)
	from := w.ends[d]
	var rng *rand.Rand
	var r *rule
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		switch {
		case errors.Is(err, os.ErrClosed), errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
			return
		case err != nil || n == 0:
			continue // a device that is down
		}
		w.traffic[d].came.Add(1)
		w.traffic[d].latest.Store(time.Now().UnixNano())
		if now := w.rule.Load(); now != r {
			r, rng = now, rand.New(rand.NewPCG(now.seed, uint64(d)))
		}
		frame := buf[:n]
		if d == toPeer {
			w.ports.leave(frame)
		}
		if !r.admits(d, frame, rng) {
			continue
		}
		if r.delay == 0 && queued.Load() == 0 {
			w.give(d, frame)
			continue
		}
		queued.Add(1)
		select {
		case queue <- parcel{time.Now().Add(r.delay), append([]byte(nil), frame...)}:
		default:
			queued.Add(-1)
		}
	}
}

// give hands a frame over. A cut swallows also what was on its way.
func (w *wire) give(d int, frame []byte) {
	if w.rule.Load().cut {
		return
	}
	if d == toUs {
		w.ports.enter(frame)
	}
	if c := w.capture.Load(); c != nil {
		c.add(time.Now(), frame)
	}
	w.watcher.passed(w.number, d, frame)
	pieces := [][]byte{frame}
	if r := w.rule.Load(); r.exceeds(d, frame) {
		pieces = fragments(frame, r.mtu[d])
	}
	w.traffic[d].giving.Store(time.Now().UnixNano())
	for _, p := range pieces {
		_, _ = w.ends[1-d].Write(p) // to a device that is down it is lost
	}
	w.traffic[d].giving.Store(0)
	w.traffic[d].went.Add(1)
}

// admits decides what becomes of a frame, which it may mark.
func (r *rule) admits(d int, frame []byte, rng *rand.Rand) bool {
	if r.cut || r.crash && d == toPeer && aborting(frame) {
		return false
	}
	chance := rng.Float64() // taken from each, so that a frame's fate does not hang on the others' kind
	if resolves(frame) {
		return true
	}
	if r.exceeds(d, frame) && dontFragment(frame) {
		return false
	}
	if chance < r.loss[d] {
		return false
	}
	if chance < r.mark[d] {
		congested(frame)
	}
	return true
}

func TestRule(t *testing.T) {
	arp := make([]byte, 60)
	binary.BigEndian.PutUint16(arp[12:], etherARP)
	packet := func(size int) []byte {
		f := make([]byte, ethernetHeader+size)
		binary.BigEndian.PutUint16(f[12:], etherIPv4)
		f[ethernetHeader], f[ethernetHeader+1] = 0x45, 2
		binary.BigEndian.PutUint16(fragmentField(f), flagDF)
		return f
	}
	count := func(r rule, d int, f []byte) (n int) {
		rng := rand.New(rand.NewPCG(r.seed, uint64(d)))
		for range 1000 {
			if r.admits(d, f, rng) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		name     string
		rule     rule
		d        int
		frame    []byte
		min, max int
	}{
		{"nothing", rule{}, toPeer, packet(1500), 1000, 1000},
		{"cut", rule{cut: true}, toUs, arp, 0, 0},
		{"loss", rule{loss: [2]float64{0.1, 0}, seed: 1}, toPeer, packet(100), 850, 950},
		{"loss the other way", rule{loss: [2]float64{0.1, 0}, seed: 1}, toUs, packet(100), 1000, 1000},
		{"loss of address resolution", rule{loss: both(0.9)}, toPeer, arp, 1000, 1000},
		{"crash", rule{crash: true}, toPeer, sctpFrame(chunkDATA, chunkABORT), 0, 0},
		{"crash, and other packets", rule{crash: true}, toPeer, sctpFrame(chunkDATA), 1000, 1000},
		{"too long", rule{mtu: both(1400)}, toUs, packet(1401), 0, 0},
		{"not too long", rule{mtu: both(1400)}, toUs, packet(1400), 1000, 1000},
	} {
		if n := count(c.rule, c.d, c.frame); n < c.min || n > c.max {
			t.Errorf("%s: %d of 1000 frames pass, want %d to %d", c.name, n, c.min, c.max)
		}
	}
	f := packet(100)
	if count(rule{mark: both(1.0)}, toPeer, f); f[ethernetHeader+1] != 3 || onesSum(f[ethernetHeader:][:ipv4Header]) != 0xffff {
		t.Errorf("a marked header is % x", f[ethernetHeader:][:ipv4Header])
	}
}

// What is delayed, and what comes after it without a delay, keeps its order.
func TestWireKeepsOrder(t *testing.T) {
	left, right := newPipe(), newPipe()
	var none atomic.Pointer[capture]
	w := &wire{ends: [2]io.ReadWriteCloser{left, right}, watcher: newWatcher(), ports: new(ports), capture: &none}
	w.start()
	w.rule.Store(&rule{delay: 20 * time.Millisecond})
	left.in <- []byte{1}
	left.in <- []byte{2}
	first := <-right.out
	w.rule.Store(&rule{})
	left.in <- []byte{3}
	for i, got := range [][]byte{first, <-right.out, <-right.out} {
		if len(got) != 1 || int(got[0]) != i+1 {
			t.Errorf("frame %d is %v", i+1, got)
		}
	}
	w.close()
}

// A pipe is an end of a wire without a device.
type pipe struct {
	in, out chan []byte
	closed  chan struct{}
	once    sync.Once
}

func newPipe() *pipe {
	return &pipe{in: make(chan []byte), out: make(chan []byte, 10), closed: make(chan struct{})}
}

func (p *pipe) Read(b []byte) (int, error) {
	select {
	case f := <-p.in:
		return copy(b, f), nil
	case <-p.closed:
		return 0, os.ErrClosed
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	p.out <- append([]byte(nil), b...)
	return len(b), nil
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
