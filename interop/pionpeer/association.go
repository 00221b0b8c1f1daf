package main

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/sctp"

	"github.com/sctpmh/mh/interop/pattern"
)

const (
	// maxMessage is the largest message sent; pion's own limit is 64 KiB.
	maxMessage = 1 << 20

	// streamsMax is what pion asks for each way. It does not tell what came of it.
	streamsMax = 65535

	// shutdownTime bounds a graceful end.
	shutdownTime = time.Minute
)

// An association is one of pion's, from the first packet to "@ down".
type association struct {
	say  *speaker
	peer *peer
	flow *flow
	done chan struct{} // closed when it is over

	readers sync.WaitGroup // of streams

	mu      sync.Mutex
	a       *sctp.Association // nil until it is up
	streams map[uint16]*sctp.Stream
	sums    pattern.Sums
	quiet   bool   // forgotten: its end is not told
	reason  string // of its end, as far as packets have told
	cookie  []byte // the latest one that came
}

func newAssociation(p *peer, with netip.AddrPort) *association {
	a := &association{say: p.say, peer: p, done: make(chan struct{}), streams: make(map[uint16]*sctp.Stream), reason: "lost"}
	a.flow = newFlow(p.sock, with, a.see)
	return a
}

// over reports whether it has ended.
func (a *association) over() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// run is the association's goroutine: it waits for the handshake, then for
// streams that the other end begins.
func (a *association) run(dial bool) {
	config := sctp.Config{NetConn: a.flow, BlockWrite: true, MaxMessageSize: maxMessage}
	begin := func() (*sctp.Association, error) { return sctp.ServerWithOptions(config) }
	if dial {
		begin = func() (*sctp.Association, error) { return sctp.ClientWithOptions(config) }
	}
	if assoc, err := begin(); err == nil {
		a.mu.Lock()
		a.a = assoc
		a.mu.Unlock()
		a.say.line("up out=%d in=%d", streamsMax, streamsMax)
		for s, err := assoc.AcceptStream(); err == nil; s, err = assoc.AcceptStream() {
			a.add(s)
		}
		a.readers.Wait()
		_ = assoc.Close() // after a shutdown of ours the connection is still open
	} else if a.end() == "abort" {
		a.note("refused")
	}
	_ = a.flow.Close()
	a.mu.Lock()
	quiet := a.quiet
	a.mu.Unlock()
	close(a.done)
	if !quiet {
		a.say.line("down reason=%s", a.end())
	}
}

// see looks at packets for what pion does not tell: how the association ended,
// and that the other end began anew, which pion takes as the same association.
func (a *association) see(packet []byte) {
	c := firstChunk(packet)
	if c == nil {
		return
	}
	switch c[0] {
	case chunkABORT:
		a.note("abort")
	case chunkSHUTDOWNACK, chunkSHUTDOWNCOMPLETE:
		a.note("shutdown")
	case chunkCOOKIEECHO:
		a.begun(c[4:min(len(c), int(c[2])<<8|int(c[3]))])
	}
}

// begun notes a cookie. A second one that differs is a restart.
func (a *association) begun(cookie []byte) {
	a.mu.Lock()
	restart := a.a != nil && !bytes.Equal(a.cookie, cookie)
	a.cookie = bytes.Clone(cookie)
	if restart {
		a.sums = pattern.Sums{}
	}
	a.mu.Unlock()
	if restart {
		a.say.line("restart")
	}
}

func (a *association) note(reason string) {
	a.mu.Lock()
	a.reason = reason
	a.mu.Unlock()
}

func (a *association) end() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reason
}

// add starts a goroutine that reads a stream, which ends with the association.
func (a *association) add(s *sctp.Stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.streams[s.StreamIdentifier()] == nil {
		a.streams[s.StreamIdentifier()] = s
		a.readers.Go(func() { a.read(s) })
	}
}

func (a *association) read(s *sctp.Stream) {
	buf := make([]byte, maxMessage)
	for {
		n, ppid, err := s.ReadSCTP(buf)
		if err != nil {
			return
		}
		a.mu.Lock()
		a.sums.Add(s.StreamIdentifier(), uint32(ppid), buf[:n], true)
		a.mu.Unlock()
		if a.peer.echoes() {
			if _, err := s.WriteSCTP(buf[:n], ppid); err != nil {
				return
			}
		}
	}
}

// stream returns a stream to send on.
func (a *association) stream(id uint16) (*sctp.Stream, error) {
	a.mu.Lock()
	assoc, s := a.a, a.streams[id]
	a.mu.Unlock()
	if s != nil {
		return s, nil
	}
	if assoc == nil {
		return nil, errors.New("the association is not up")
	}
	s, err := assoc.OpenStream(id, 0)
	if err == nil {
		a.add(s)
	}
	return s, err
}

// A load is what a send command asks for.
type load struct {
	stream, streams, ppid, size, count, seed uint64
	unordered                                bool
}

func (a *association) send(args arguments) error {
	var l load
	var unordered uint64
	for key, to := range map[string]*uint64{"stream": &l.stream, "streams": &l.streams, "ppid": &l.ppid, "size": &l.size, "count": &l.count, "seed": &l.seed, "unordered": &unordered} {
		n, err := args.number(key)
		if err != nil {
			return err
		}
		*to = n
	}
	l.unordered, l.streams = unordered != 0, max(l.streams, 1)
	if l.size == 0 || l.size > maxMessage {
		return errors.New("size is from 1 octet to 1 MiB")
	}
	go func() { // ends when pion has taken all, or with the association
		if err := a.fill(l); err != nil {
			a.say.line("error send %v", err)
			return
		}
		a.say.line("sent count=%d", l.count)
	}()
	return nil
}

// fill makes the messages of a load and gives them to pion.
func (a *association) fill(l load) error {
	streams := make([]*sctp.Stream, l.streams)
	for i := range streams {
		s, err := a.stream(uint16(l.stream) + uint16(i))
		if err != nil {
			return err
		}
		s.SetReliabilityParams(l.unordered, sctp.ReliabilityTypeReliable, 0)
		streams[i] = s
	}
	buf := make([]byte, l.size)
	for i := range l.count {
		pattern.Fill(buf, l.seed, i)
		if _, err := streams[i%l.streams].WriteSCTP(buf, sctp.PayloadProtocolIdentifier(l.ppid)); err != nil {
			return err
		}
	}
	return nil
}

// tell says what came.
func (a *association) tell() error {
	a.mu.Lock()
	for stream, sum := range a.sums.All() {
		a.say.line("sum stream=%d %v", stream, sum)
	}
	a.mu.Unlock()
	a.say.line("ok sums")
	return nil
}

// standing returns the association if it is up.
func (a *association) standing() (*sctp.Association, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.a == nil || a.over() {
		return nil, errors.New("the association is not up")
	}
	return a.a, nil
}

func (a *association) shutdown() error {
	assoc, err := a.standing()
	if err != nil {
		return err
	}
	a.say.line("ok shutdown")
	go func() { // ends within shutdownTime
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		_ = assoc.Shutdown(ctx) // the end tells
		_ = assoc.Close()
	}()
	return nil
}

func (a *association) abort() error {
	assoc, err := a.standing()
	if err != nil {
		return err
	}
	a.say.line("ok abort")
	go assoc.Abort("told to") // ends within half a second
	return nil
}

// forget ends it without a packet and without a word.
func (a *association) forget() {
	a.mu.Lock()
	a.quiet = true
	a.mu.Unlock()
	_ = a.flow.Close()
	<-a.done
}
