package tcpemu

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// crowd is the streams of one association over loopback: a world with room for
// more of them than both sides' default.
type crowd struct {
	*world
	accepted chan *Conn
	serving  sync.WaitGroup
}

// newCrowd makes the association. serve gets each connection that is accepted,
// in a goroutine of its own; nil: they are left to accepted.
func newCrowd(t testing.TB, streams int, serve func(*Conn)) *crowd {
	t.Helper()
	endpoint := func(b sctpmh.Backend) *sctpmh.Endpoint { return listenWith(t, b, uint16(2*streams+2)) }
	w := &crowd{world: newWorldOn(t, names{}, endpoint(backends.dialer), endpoint(backends.listener)), accepted: make(chan *Conn, streams)}
	w.serving.Go(func() { // ends when the listener closes
		for {
			c, err := w.l.Accept()
			if err != nil {
				return
			}
			if serve == nil {
				w.accepted <- c.(*Conn)
				continue
			}
			w.serving.Go(func() { serve(c.(*Conn)) }) // ends with the connection
		}
	})
	t.Cleanup(w.serving.Wait)
	t.Cleanup(func() { w.l.Close() })
	return w
}

func (w *crowd) dial() *Conn {
	w.t.Helper()
	c, err := w.dialer.DialContext(context.Background(), "mh", "server.example:7")
	must(w.t, err)
	return c.(*Conn)
}

// echo sends back what comes, until it ends.
func echo(c *Conn) {
	io.Copy(c, c)
	c.Close()
}

// ask sends an octet and waits for it to come back.
func ask(t testing.TB, c *Conn) {
	var b [1]byte
	if _, err := c.Write(b[:]); err != nil {
		t.Error(err)
		return
	}
	if _, err := io.ReadFull(c, b[:]); err != nil {
		t.Error(err)
	}
}

// inUse is the memory in use, garbage aside: heap and stacks in octets, and the
// objects on the heap.
func inUse() (octets, objects int64) {
	runtime.GC() // what is pooled becomes garbage
	runtime.GC() // and is collected
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse), int64(m.HeapObjects)
}

// report prints a result as a plain line.
func report(b *testing.B, format string, args ...any) {
	b.ReportMetric(0, "ns/op")
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// BenchmarkIdleStreams measures the memory of a connection that has said
// something and is idle, both sides together.
func BenchmarkIdleStreams(b *testing.B) {
	const streams, goal = 10_000, 4096
	w := newCrowd(b, streams, nil)
	talk := func() (c, s *Conn) {
		c = w.dial()
		s = <-w.accepted
		go ask(b, c) // ends with the echo
		var buf [1]byte
		_, err := s.Read(buf[:])
		must(b, err)
		_, err = s.Write(buf[:])
		must(b, err)
		return c, s
	}
	talk()
	before, _ := inUse()
	goroutines := runtime.NumGoroutine()
	all := make([]*Conn, 0, 2*streams)
	for len(all) < cap(all) {
		c, s := talk()
		all = append(all, c, s)
	}
	after, _ := inUse()
	report(b, "idle streams: %d octets each, both sides together, of %d streams on one association (goal: at most %d); %d goroutines more than for one",
		(after-before)/streams, streams, goal, runtime.NumGoroutine()-goroutines)
	runtime.KeepAlive(all)
}

// BenchmarkOpenEchoClose measures how many connections a second are opened,
// asked an octet and closed, by as many callers as keep the processors busy.
func BenchmarkOpenEchoClose(b *testing.B) {
	const callers, each = 64, 500
	w := newCrowd(b, 2*callers, echo)
	start := time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() { // ends after its connections
			for range each {
				c := w.dial()
				ask(b, c)
				c.Close()
			}
		})
	}
	wg.Wait()
	report(b, "open, echo, close: %.0f a second, %d at a time", callers*each/time.Since(start).Seconds(), callers)
}

// BenchmarkEchoBesideBulk measures what a bulk stream does to 100 others on the
// association that exchange an octet at a time.
func BenchmarkEchoBesideBulk(b *testing.B) {
	const streams, each, goal = 100, 300, 5
	w := newCrowd(b, streams+1, echo)
	conns := make([]*Conn, streams)
	for i := range conns {
		conns[i] = w.dial()
	}
	measure := func() (p50, p99 time.Duration) {
		times := make([]time.Duration, streams*each)
		var wg sync.WaitGroup
		for i, c := range conns {
			wg.Go(func() { // ends after its questions
				for j := range each {
					start := time.Now()
					ask(b, c)
					times[i*each+j] = time.Since(start)
				}
			})
		}
		wg.Wait()
		slices.Sort(times)
		return times[len(times)/2], times[len(times)*99/100]
	}
	measure() // it takes a while until the path's round trip time is known
	idle50, idle99 := measure()
	bulk := w.dial()
	var wg sync.WaitGroup
	var moved int64
	wg.Go(func() { moved, _ = io.Copy(io.Discard, bulk) }) // ends with the bulk
	stop := make(chan struct{})
	wg.Go(func() { // ends with stop
		for unit := make([]byte, 1<<20); !isClosed(stop); {
			if _, err := bulk.Write(unit); err != nil {
				b.Error(err)
				return
			}
		}
		bulk.CloseWrite()
	})
	start := time.Now()
	bulk50, bulk99 := measure()
	took := time.Since(start)
	close(stop)
	wg.Wait()
	report(b, "echo beside bulk: p99 %v, alone %v: %.1f times as long (goal: at most %d); p50 %v, alone %v; the bulk moved %.0f Mbit/s both ways together",
		bulk99, idle99, float64(bulk99)/float64(idle99), goal, bulk50, idle50, float64(moved)*2*8/1e6/took.Seconds())
	for _, c := range conns {
		c.Close()
	}
}

// A number is used again as soon as both directions have ended: what ends the
// last of them and the end of the connection are one for the peer, who may have
// opened the next one before this side has done anything else.
func TestNumbersAreReusedAtOnce(t *testing.T) {
	const callers, each = 32, 300
	w := newCrowd(t, 2*callers, echo)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() { // ends after its connections
			for range each {
				c := w.dial()
				ask(t, c)
				c.Close()
			}
		})
	}
	wg.Wait()
}

// Connections that are over leave nothing behind: no window, no stream number,
// no memory.
func TestClosedStreamsLeaveNothing(t *testing.T) {
	const streams, rounds = 200, 4
	w := newCrowd(t, streams, nil)
	w.dialer.Windows = new(Windows)
	var sessions [2]*session
	var level [rounds]int64
	for i := range level {
		var conns []*Conn
		for range streams {
			c := w.dial()
			s := <-w.accepted
			conns = append(conns, c, s)
			sessions = [2]*session{c.s, s.s}
			_, err := c.Write(make([]byte, 1000))
			must(t, err)
			_, err = io.ReadFull(s, make([]byte, 1000))
			must(t, err)
		}
		for _, c := range conns {
			must(t, c.Close())
		}
		for _, s := range sessions {
			if !s.idle(t.Context()) {
				t.Fatal("connections remain")
			}
			if n := s.windows.beyond.Load(); n != 0 {
				t.Errorf("round %d: windows of %d octets remain", i, n)
			}
			s.mu.Lock()
			if s.numbers.next > 2*streams+2 {
				t.Errorf("round %d: stream numbers up to %d were used", i, s.numbers.next)
			}
			s.mu.Unlock()
		}
		_, level[i] = inUse()
	}
	if n := w.dialer.Windows.used.Load(); n != 0 {
		t.Errorf("windows of %d octets remain in the process", n)
	}
	// The first round makes what the association keeps for each number.
	if grown := level[rounds-1] - level[1]; grown > streams {
		t.Errorf("%d rounds of %d connections left %d objects: %v", rounds-2, streams, grown, level)
	}
}
