package tcpemu

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"github.com/sctpmh/mh/sctpmh"
)

// fakeAssoc is an association in memory: what one side sends the other
// receives at once and in order. It takes everything.
type fakeAssoc struct {
	peer sctpmh.Peer
	in   chan sctpmh.Message
	out  chan<- sctpmh.Message // nil: what is sent is dropped

	once sync.Once
	done chan struct{}
	mu   sync.Mutex
	err  error
}

func newFake(out chan<- sctpmh.Message) *fakeAssoc {
	return &fakeAssoc{
		peer: sctpmh.Peer{Handshake: netip.MustParseAddrPort("192.0.2.1:9899"), Adaptation: AdaptationCode, OutStreams: 16384, InStreams: 16384},
		in:   make(chan sctpmh.Message, 1024), out: out, done: make(chan struct{}),
	}
}

func (a *fakeAssoc) ID() uint64                     { return 1 }
func (a *fakeAssoc) Permit([]netip.Addr)            {}
func (a *fakeAssoc) Peer() sctpmh.Peer              { return a.peer }
func (a *fakeAssoc) MaxPayload() int                { return 1204 }
func (a *fakeAssoc) Paths() []sctpmh.PathInfo       { return nil }
func (a *fakeAssoc) PathsChanged() <-chan struct{}  { return nil }
func (a *fakeAssoc) SetPrimary(sctpmh.Pair) bool    { return false }
func (a *fakeAssoc) Stats() sctpmh.Stats            { return sctpmh.Stats{} }
func (a *fakeAssoc) Failovers() []sctpmh.Failover   { return nil }
func (a *fakeAssoc) Done() <-chan struct{}          { return a.done }
func (a *fakeAssoc) Shutdown(context.Context) error { a.end(io.EOF); return nil }
func (a *fakeAssoc) Abort(reason string)            { a.end(errors.New(reason)) }
func (a *fakeAssoc) Send(_ context.Context, m sctpmh.Message) (err error) {
	_, err = a.TrySend(m)
	return err
}

func (a *fakeAssoc) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *fakeAssoc) end(err error) {
	a.once.Do(func() {
		a.mu.Lock()
		a.err = err
		a.mu.Unlock()
		close(a.done)
	})
}

func (a *fakeAssoc) TrySend(m sctpmh.Message) (bool, error) {
	select {
	case <-a.done:
		return false, syscall.ECONNRESET
	default:
	}
	if a.out == nil {
		return true, nil
	}
	select {
	case a.out <- m:
		return true, nil
	case <-a.done:
		return false, syscall.ECONNRESET
	}
}

func (a *fakeAssoc) Recv(ctx context.Context) (m sctpmh.Message, err error) {
	select {
	case m = <-a.in:
		return m, nil
	default:
	}
	select {
	case m = <-a.in:
		return m, nil
	case <-a.done:
		return m, syscall.ECONNRESET
	case <-ctx.Done():
		return m, ctx.Err()
	}
}

// hello is that of a peer that dialled.
func hello(nonce uint64) []byte {
	return (&frame{typ: typeHello, version: 1, nonce: nonce, flags: helloDialled, streams: 16384, credit: initialWindow}).append(nil)
}

// FuzzSession is a peer that sends any sequence of messages. Nothing may
// panic or hang, no stream gets more than its credit, and no more streams
// exist than were opened.
//
// Input: for each message its stream (one octet), whether it is control (one),
// its length (one) and its octets.
func FuzzSession(f *testing.F) {
	add := func(messages ...[]byte) {
		var b []byte
		for _, m := range messages {
			b = append(append(b, m[0], m[1], byte(len(m)-2)), m[2:]...)
		}
		f.Add(b)
	}
	ctrl := func(sid byte, f *frame) []byte { return append([]byte{sid, 1}, f.append(nil)...) }
	open := ctrl(1, &frame{typ: typeOpen, epoch: 1, target: Target{Port: 80}, credit: 1000})
	add(open, []byte{1, 0, 'h', 'i'}, ctrl(1, &frame{typ: typeFin, offset: 2}))
	add(open, ctrl(1, &frame{typ: typeReset, epoch: 1, code: CodeRefused}), open)
	add(open, ctrl(1, &frame{typ: typeCredit, epoch: 1, offset: 1 << 40}), ctrl(0, &frame{typ: typeGoAway}), ctrl(2, &frame{typ: typePing, opaque: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := newFake(nil)
		var wg sync.WaitGroup
		opened := 0
		s := newSession(a, sessionConfig{log: slog.New(slog.DiscardHandler), accept: func(o *Open) error {
			if opened++; opened%3 == 0 {
				return errors.New("busy")
			}
			c, err := o.Accept(netip.AddrPort{})
			if err != nil {
				return nil
			}
			wg.Go(func() { // ends with the session
				defer c.Close()
				c.Write([]byte("welcome"))
				io.Copy(io.Discard, c)
			})
			return nil
		}})
		a.in <- sctpmh.Message{PPID: ppidCtrl, Data: hello(^uint64(0))}
		count := 0
		for len(b) >= 3 && count < 1000 {
			n := min(int(b[2]), len(b)-3)
			m := sctpmh.Message{Stream: uint16(b[0]), PPID: ppidData, Data: append([]byte(nil), b[3:3+n]...)}
			if b[1]&1 != 0 {
				m.PPID = ppidCtrl
			}
			b = b[3+n:]
			if len(m.Data) > 0 {
				a.in <- m
				count++
			}
		}
		a.in <- sctpmh.Message{PPID: ppidCtrl, Data: []byte{255}} // unknown and ignored: all before it is handled
		for len(a.in) > 0 {
			select {
			case <-a.done:
				for len(a.in) > 0 {
					<-a.in
				}
			default:
			}
		}
		s.mu.Lock()
		if len(s.conns) > opened || s.windows > maxWindows {
			t.Errorf("%d streams of %d opened, windows of %d octets", len(s.conns), opened, s.windows)
		}
		s.mu.Unlock()
		a.Abort("over")
		s.running.Wait()
		wg.Wait()
	})
}
