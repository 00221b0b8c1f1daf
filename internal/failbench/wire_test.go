package failbench

import (
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A rule is what a wire does to frames, both ways.
type rule struct {
	delay time.Duration // one way
	rate  float64       // octets of IP packets a second, 0: any
	queue time.Duration // at most this waits for the rate; the rest is lost
	loss  float64       // share of the frames that vanish
	seed  uint64        // not 0: which of them, counted from the rule's start
	cut   bool          // every frame vanishes, without a sign
}

// A wire carries frames between two packet sockets, by a rule that may change
// at any time.
type wire struct {
	rule atomic.Pointer[rule]
	up   direction // to the server
	down direction // to the client
}

// A direction of a wire.
type direction struct {
	from, to *os.File
	passed   atomic.Uint64 // octets
	quality
}

// quality counts frames by how well the router did: one that gets no processor
// in time adds delay and loss of its own.
type quality struct {
	frames, late atomic.Uint64
	overrun      atomic.Uint64 // lost because the router was too slow
}

// lateness is what the figures can bear.
const lateness = 5 * time.Millisecond

// start starts the wire's goroutines, which end when the sockets are closed.
func (w *wire) start(wg *sync.WaitGroup, client, server *os.File, seed uint64) {
	w.rule.Store(&rule{})
	w.up.from, w.up.to = client, server
	w.down.from, w.down.to = server, client
	w.carry(wg, &w.up, seed)
	w.carry(wg, &w.down, seed+1)
}

// A frame is on its way.
type frame struct {
	due  time.Time
	data []byte
}

// onWire bounds the frames that are on their way: 200 ms of small packets at
// 100 Mbit/s.
const onWire = 1 << 15

func (w *wire) carry(wg *sync.WaitGroup, d *direction, seed uint64) {
	queue := make(chan frame, onWire)
	wg.Go(func() { // ends when from is closed
		defer close(queue)
		w.take(d, queue, seed)
	})
	wg.Go(func() { // ends when queue is closed
		pin(int(seed))
		for f := range queue {
			w.give(d, f)
		}
	})
}

// take reads frames and decides what becomes of each.
func (w *wire) take(d *direction, queue chan<- frame, seed uint64) {
	var s shaper
	var r *rule
	rng := rand.New(rand.NewPCG(seed, 1))
	buf := make([]byte, vnetHeader+1<<16)
	for {
		n, err := d.from.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // without a carrier reads fail once
		}
		if now := w.rule.Load(); now != r {
			if r = now; r.seed != 0 {
				rng = rand.New(rand.NewPCG(seed, r.seed))
			}
		}
		due, room := s.admit(time.Now(), *r, n-vnetHeader-ethernetHeader)
		if !room || r.cut || rng.Float64() < r.loss {
			continue
		}
		select {
		case queue <- frame{due, append([]byte(nil), buf[:n]...)}:
		default:
			d.overrun.Add(1)
		}
	}
}

// give writes a frame when it is due. A cut swallows also what was on its way.
func (w *wire) give(d *direction, f frame) {
	// Not nanosleep: where there are few processors it takes the runtime's away.
	time.Sleep(time.Until(f.due))
	d.frames.Add(1)
	if time.Since(f.due) > lateness {
		d.late.Add(1)
	}
	if w.rule.Load().cut {
		return
	}
	if _, err := d.to.Write(f.data); err != nil {
		d.overrun.Add(1)
		return
	}
	d.passed.Add(uint64(len(f.data) - vnetHeader))
}

// A shaper is a line with a rate and a queue that drops what does not fit.
type shaper struct{ free time.Time } // when all that was admitted has left

// admit returns when a packet of size octets arrives at the other end, and
// whether there was room for it.
func (s *shaper) admit(now time.Time, r rule, size int) (due time.Time, room bool) {
	if s.free.Before(now) {
		s.free = now
	}
	if r.rate > 0 {
		took := time.Duration(float64(size) / r.rate * float64(time.Second))
		if s.free.Sub(now)+took > r.queue {
			return due, false
		}
		s.free = s.free.Add(took)
	}
	return s.free.Add(r.delay), true
}

// pin keeps the goroutine on one processor: each has a queue of its own for
// what is written to a device, and frames would overtake one another.
func pin(i int) {
	runtime.LockOSThread() // never unlocked, so the thread goes too
	var may, one unix.CPUSet
	if unix.SchedGetaffinity(0, &may) != nil || may.Count() == 0 {
		return
	}
	for cpu, left := 0, i%may.Count(); ; cpu++ {
		if may.IsSet(cpu) && left == 0 {
			one.Set(cpu)
			_ = unix.SchedSetaffinity(0, &one) // else the order is not kept
			return
		}
		if may.IsSet(cpu) {
			left--
		}
	}
}

func TestShaper(t *testing.T) {
	var s shaper
	now := time.Unix(1000, 0)
	r := rule{delay: 10 * time.Millisecond, rate: 1e6, queue: 3 * time.Millisecond}
	for i, want := range []time.Duration{11, 12, 13, 0, 0} { // a packet of 1000 octets takes 1 ms
		due, room := s.admit(now, r, 1000)
		if room != (want > 0) || room && due.Sub(now) != want*time.Millisecond {
			t.Errorf("packet %d arrives after %v, %v; want %d ms", i, due.Sub(now), room, want)
		}
	}
	later := now.Add(2 * time.Millisecond)
	if due, room := s.admit(later, r, 1000); !room || due.Sub(later) != 12*time.Millisecond {
		t.Errorf("the queue does not drain: %v, %v", due.Sub(later), room)
	}
	if due, room := new(shaper).admit(now, rule{}, 1000); !room || due != now {
		t.Errorf("without a rate a packet arrives after %v, %v", due.Sub(now), room)
	}
}
