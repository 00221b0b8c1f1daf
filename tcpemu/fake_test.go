package tcpemu

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// fakeAssoc is an association in memory. What a side sends goes to out, which
// takes as much as it has room for; what is put into in is received, in order.
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
func (a *fakeAssoc) SetCandidates([]netip.AddrPort) {}
func (a *fakeAssoc) Discard(uint16, uint32)         {}
func (a *fakeAssoc) SetWeight(uint16, int)          {}
func (a *fakeAssoc) Peer() sctpmh.Peer              { return a.peer }
func (a *fakeAssoc) MaxPayload() int                { return 1204 }
func (a *fakeAssoc) PathsChanged() <-chan struct{}  { return nil }
func (a *fakeAssoc) SetPrimary(sctpmh.Pair) bool    { return false }
func (a *fakeAssoc) Stats() sctpmh.Stats            { return sctpmh.Stats{} }
func (a *fakeAssoc) Failovers() []sctpmh.Failover   { return nil }
func (a *fakeAssoc) Done() <-chan struct{}          { return a.done }
func (a *fakeAssoc) Shutdown(context.Context) error { a.end(io.EOF); return nil }
func (a *fakeAssoc) Abort(reason string)            { a.end(errors.New(reason)) }

// Paths returns one path, from which the session knows how long a round trip
// takes.
func (a *fakeAssoc) Paths() []sctpmh.PathInfo {
	return []sctpmh.PathInfo{{InUse: true, Confirmed: true, State: sctpmh.Active, SRTT: 20 * time.Millisecond}}
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

func (a *fakeAssoc) Send(ctx context.Context, m sctpmh.Message) error {
	if ok, err := a.TrySend(m); ok || err != nil {
		return err
	}
	select {
	case a.out <- m:
		return nil
	case <-a.done:
		return syscall.ECONNRESET
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *fakeAssoc) TrySend(m sctpmh.Message) (bool, error) {
	if isClosed(a.done) {
		return false, syscall.ECONNRESET
	}
	if m.Stream >= a.peer.OutStreams {
		return false, sctpmh.ErrStream
	}
	if a.out == nil {
		return true, nil
	}
	select {
	case a.out <- m:
		return true, nil
	default:
		return false, nil
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
		if a.Err() == io.EOF {
			return m, io.EOF
		}
		return m, syscall.ECONNRESET
	case <-ctx.Done():
		return m, ctx.Err()
	}
}

// hello is that of a peer that dialled.
func hello(nonce uint64) []byte {
	return (&frame{typ: typeHello, version: 1, nonce: nonce, flags: helloDialled, streams: 16384, credit: initialWindow}).append(nil)
}
