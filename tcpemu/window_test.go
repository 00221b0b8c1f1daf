package tcpemu

import (
	"io"
	"log/slog"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/sctpmh"
)

func TestRoundMeasuresWhatTheReaderTakes(t *testing.T) {
	const rtt = 100 * time.Millisecond
	start := time.Now()
	var r round
	for _, step := range []struct {
		after time.Duration
		read  uint64
		want  int // 0: not known
	}{
		{0, 1000, 0},                                // the first measurement begins
		{50 * time.Millisecond, 5000, 0},            // half a round trip
		{100 * time.Millisecond, 9000, 16000},       // 8,000 in one
		{300 * time.Millisecond, 9000 + 8000, 8000}, // 4,000 in each of two
		{300 * time.Second, 20_000, 1},              // idle
	} {
		got, ok := r.window(start.Add(step.after), step.read, rtt)
		if ok != (step.want > 0) || ok && (got < step.want/2 || got > step.want*2) {
			t.Errorf("after %v, %d octets read: window %d, %v, want %d", step.after, step.read, got, ok, step.want)
		}
	}
}

// Windows that nobody uses leave room for those that come after them, and all
// comes back.
func TestSumsOfWindows(t *testing.T) {
	w := &Windows{Conn: 1 << 20, Assoc: 8 << 20, Process: 12 << 20}
	sums := []*windowSum{{of: w, peer: sharerOf(clientAddrs[0])}, {of: w, peer: sharerOf(serverAddrs[0])}}
	var all []int
	for i := 0; sums[i%2].open(); i++ {
		s := sums[i%2]
		size := s.grow(earlyCredit, 64<<20, growthShare)
		if size > w.Conn {
			t.Fatalf("window of %d octets, limit %d", size, w.Conn)
		}
		if i < 30 && size < earlyCredit+1000 {
			t.Errorf("connection %d: window of %d octets: those before it have it all", i, size)
		}
		if s.beyond.Load() > int64(w.Assoc) || w.used.Load() > int64(w.Process) {
			t.Fatalf("windows of %d octets in the association, %d in the process", s.beyond.Load(), w.used.Load())
		}
		all = append(all, size)
	}
	if len(all) < 100 {
		t.Errorf("the windows of %d connections are all that there is", len(all))
	}
	for i, size := range all {
		s := sums[i%2]
		s.shrink(s.shrink(size, size/2), 0)
	}
	if w.used.Load() != 0 || sums[0].beyond.Load() != 0 || sums[1].beyond.Load() != 0 {
		t.Errorf("left: %d in the process, %d and %d in the associations", w.used.Load(), sums[0].beyond.Load(), sums[1].beyond.Load())
	}
}

// A peer that opens connections without end is refused when the process has no
// window left, and not aborted: what it sent early is dropped.
func TestOpenBeyondTheBoundOfTheProcess(t *testing.T) {
	a, out := newFake(nil), make(chan sctpmh.Message, 100)
	a.out = out
	s := newSession(a, sessionConfig{log: slog.New(slog.DiscardHandler), accept: func(*Open) error { return nil }, windows: &Windows{Process: 3 * earlyCredit, Peer: 3 * earlyCredit}})
	defer func() {
		a.Abort("over")
		s.running.Wait()
	}()
	a.in <- sctpmh.Message{PPID: ppidCtrl, Data: hello(1)}
	for i := range uint16(4) {
		open := &frame{typ: typeOpen, epoch: 1, target: Target{Port: 80}, credit: 1000}
		a.in <- sctpmh.Message{Stream: 1 + 2*i, PPID: ppidCtrl, Data: open.append(nil)}
		a.in <- sctpmh.Message{Stream: 1 + 2*i, PPID: ppidData, Data: []byte("early")}
	}
	for m := range out {
		f, _, err := parseFrame(m.Data)
		must(t, err)
		switch f.typ {
		case typeHello, typeOpenOK:
		case typeOpenFail:
			if m.Stream != 7 || f.code != CodeResources {
				t.Errorf("stream %d refused with %v", m.Stream, f.code)
			}
			if isClosed(a.done) {
				t.Error("the association was aborted")
			}
			return
		default:
			t.Fatalf("answer of type %d on stream %d", f.typ, m.Stream)
		}
	}
}

// An own dial is refused likewise.
func TestDialBeyondTheBoundOfTheProcess(t *testing.T) {
	w := newWorld(t, names{})
	w.dialer.Windows = &Windows{Process: 1}
	_, err := w.dialer.DialContext(t.Context(), "mh", "server.example:80")
	wantIs(t, "dial", err, syscall.EAGAIN)
}

// One connection fills 100 Mbit/s over a round trip of 300 ms: neither its
// window nor the send buffer holds it up.
func TestWindowFillsALongFatPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := netsim.Config{Delay: 150 * time.Millisecond, Rate: 12_500_000, Queue: 8 << 20}
		w := newSimWorld(t, 1, c)
		a, b := w.pipe()
		const size = 48 << 20
		go func() { // ends when all is written
			a.Write(make([]byte, size))
			a.CloseWrite()
		}()
		half := int64(size / 2)
		if n, err := io.CopyN(io.Discard, b, half); n != half {
			t.Fatalf("%d octets, %v", n, err)
		}
		b.mu.Lock()
		window := b.window
		b.mu.Unlock()
		start := time.Now()
		n, err := io.Copy(io.Discard, b)
		if n != half || err != nil {
			t.Fatalf("%d octets, %v", n, err)
		}
		took := time.Since(start)
		rate := float64(n) * 8 / took.Seconds() / 1e6
		// Of 100 Mbit/s the headers of IP, UDP and SCTP take 5.
		if rate < 90 {
			t.Errorf("%.1f Mbit/s, window of %d octets", rate, window)
		}
	})
}

// The window follows the reader: who reads slowly gets no more, and who falls
// idle after bulk gives back.
func TestWindowFollowsTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := netsim.Config{Delay: 50 * time.Millisecond, Rate: 125_000_000, Queue: 8 << 20}
		w := newSimWorld(t, 1, c)
		a, b := w.pipe()
		size := func() int {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.window
		}
		go a.Write(make([]byte, 80<<20)) // ends with a
		read := func(n int64, pause time.Duration) {
			for ; n > 0; n -= 64 << 10 {
				_, err := io.CopyN(io.Discard, b, 64<<10)
				must(t, err)
				time.Sleep(pause) // the reader's own pace
			}
		}
		read(4<<20, 100*time.Millisecond)
		if got := size(); got > initialWindow {
			t.Errorf("a reader of 640 kB/s has a window of %d octets", got)
		}
		read(40<<20, 0)
		if got := size(); got < 4<<20 {
			t.Errorf("a reader that takes all has a window of %d octets", got)
		}
		before := b.s.windows.beyond.Load()
		read(8<<20, 100*time.Millisecond)
		if got := size(); got > initialWindow+grantStep {
			t.Errorf("slow again, it keeps a window of %d octets", got)
		}
		if after := b.s.windows.beyond.Load(); after >= before {
			t.Errorf("the sum stays %d", after)
		}
		a.Reset()
		b.Reset()
	})
}
