package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sctpmh/mh/interop/pattern"
	"github.com/sctpmh/mh/sctpmh"
)

// A load is messages that one end sends: message i on stream first+i%streams.
type load struct {
	first, streams uint16 // streams: 0 is 1
	size, count    int
	unordered      bool
	seed           uint64
}

// protocol is the payload protocol identifier of all messages; nobody has
// registered it, and so nobody dissects it.
const protocol = 0x6d680001

func (l load) stream(i int) uint16 { return l.first + uint16(i%max(int(l.streams), 1)) }

// octets is the size of the whole load.
func (l load) octets() int { return l.size * l.count }

// command has a peer send it.
func (l load) command() string {
	unordered := 0
	if l.unordered {
		unordered = 1
	}
	return fmt.Sprintf("send stream=%d streams=%d ppid=%d unordered=%d size=%d count=%d seed=%d",
		l.first, max(l.streams, 1), uint32(protocol), unordered, l.size, l.count, l.seed)
}

// send sends it from here.
func (l load) send(ctx context.Context, a *sctpmh.Assoc) error {
	for i := range l.count {
		data := make([]byte, l.size)
		pattern.Fill(data, l.seed, uint64(i))
		if err := a.Send(ctx, sctpmh.Message{Stream: l.stream(i), PPID: protocol, Unordered: l.unordered, Data: data}); err != nil {
			return fmt.Errorf("message %d of %d, of %d octets: %w", i, l.count, l.size, err)
		}
	}
	return nil
}

// sums are those of loads that were sent one after the other.
func sums(loads ...load) map[uint16]pattern.Sum {
	var s pattern.Sums
	for _, l := range loads {
		data := make([]byte, l.size)
		for i := range l.count {
			pattern.Fill(data, l.seed, uint64(i))
			s.Add(l.stream(i), protocol, data, true)
		}
	}
	return maps.Collect(s.All())
}

// compare returns how what came differs from what was sent, nil if it does not.
// Where messages were unordered their order is not compared.
func compare(got map[uint16]pattern.Sum, loads ...load) error {
	want := sums(loads...)
	unordered := slices.ContainsFunc(loads, func(l load) bool { return l.unordered })
	var wrong []string
	for _, stream := range slices.Sorted(maps.Keys(merged(got, want))) {
		g, w := got[stream], want[stream]
		if unordered {
			g.Chain, w.Chain = 0, 0
		}
		if g != w {
			wrong = append(wrong, fmt.Sprintf("stream %d: %v, want %v", stream, g, w))
		}
	}
	if wrong == nil {
		return nil
	}
	const show = 3
	more := ""
	if len(wrong) > show {
		more = fmt.Sprintf("; and %d further streams", len(wrong)-show)
	}
	return errors.New("what came is not what was sent: " + strings.Join(wrong[:min(show, len(wrong))], "; ") + more)
}

func merged(a, b map[uint16]pattern.Sum) map[uint16]pattern.Sum {
	m := maps.Clone(a)
	if m == nil {
		m = make(map[uint16]pattern.Sum)
	}
	maps.Copy(m, b)
	return m
}

// A receiver adds up what comes over an association of ours, in a goroutine that
// ends with it.
type receiver struct {
	done chan struct{} // closed with the association

	mu      sync.Mutex
	sums    pattern.Sums
	octets  int
	err     error         // of the end; nil is io.EOF
	changed chan struct{} // closed with the next message; nil while nobody waits
}

func receive(a *sctpmh.Assoc) *receiver {
	r := &receiver{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for {
			m, err := a.Recv(context.Background())
			if err != nil {
				r.end(err)
				return
			}
			r.add(m)
		}
	}()
	return r
}

func (r *receiver) add(m sctpmh.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums.Add(m.Stream, m.PPID, m.Data, true)
	r.octets += len(m.Data)
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func (r *receiver) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !errors.Is(err, io.EOF) {
		r.err = err
	}
}

// await waits for so many octets in all.
func (r *receiver) await(ctx context.Context, octets int) error {
	for {
		r.mu.Lock()
		got := r.octets
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		if got >= octets {
			return nil
		}
		select {
		case <-changed:
		case <-r.done:
			r.mu.Lock()
			got, err := r.octets, r.err
			r.mu.Unlock()
			if got >= octets {
				return nil
			}
			return fmt.Errorf("the association ended after %d of %d octets: %v", got, octets, err)
		case <-ctx.Done():
			return fmt.Errorf("%d of %d octets came: %w", got, octets, context.Cause(ctx))
		}
	}
}

// compare compares what came.
func (r *receiver) compare(loads ...load) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return compare(maps.Collect(r.sums.All()), loads...)
}

// rate prints what was reached.
func rate(octets int, took time.Duration) string {
	speed, unit := float64(octets)/took.Seconds()/1e6, "MB/s"
	if speed < 1 {
		speed, unit = speed*1e3, "kB/s"
	}
	return fmt.Sprintf("%s in %v, %.1f %s", size(octets), round(took), speed, unit)
}

// size prints octets in the largest unit that leaves no fraction.
func size(octets int) string {
	units := []string{"octets", "KiB", "MiB", "GiB"}
	i := 0
	for ; i < len(units)-1 && octets >= 1024 && octets%1024 == 0; i++ {
		octets /= 1024
	}
	if i == 0 && octets >= 10_000_000 {
		return fmt.Sprintf("%.1f MB", float64(octets)/1e6)
	}
	return fmt.Sprintf("%d %s", octets, units[i])
}

// round leaves three digits or so.
func round(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}

func TestCompare(t *testing.T) {
	a, b := load{first: 1, streams: 2, size: 100, count: 5, seed: 1}, load{first: 9, size: 1, count: 1, seed: 2}
	if err := compare(sums(a, b), a, b); err != nil {
		t.Error(err)
	}
	if err := compare(sums(b, a), a, b); err != nil {
		t.Error("streams of their own:", err)
	}
	if err := compare(sums(a), a, b); err == nil || !strings.Contains(err.Error(), "stream 9") {
		t.Error("a missing stream is not seen:", err)
	}
	if err := compare(nil, a); err == nil {
		t.Error("silence is not seen")
	}
	first, second := load{size: 10, count: 1, seed: 1}, load{size: 10, count: 1, seed: 2}
	if compare(sums(second, first), first, second) == nil {
		t.Error("a wrong order is not seen")
	}
	first.unordered, second.unordered = true, true
	if err := compare(sums(second, first), first, second); err != nil {
		t.Error("the order of what has none is compared:", err)
	}
}
