package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ishidawataru/sctp"
	"github.com/sctpmh/mh/interop/pattern"
	"golang.org/x/sys/unix"
)

// readSize is how much is read at a time. Longer messages come in pieces.
const readSize = 64 << 10

// An association is one, from the first packet until "@ down".
type association struct {
	peer *peer
	say  *speaker
	sock *socket
	done chan struct{} // closed when it is over

	senders sync.WaitGroup

	// of run alone
	message []byte // what has come of a message that is to be sent back
	oob     []byte

	mu     sync.Mutex
	sums   pattern.Sums
	ours   bool // we have aborted it
	silent bool // its end is not told
}

func newAssociation(p *peer, s *socket) *association {
	return &association{peer: p, say: p.say, sock: s, done: make(chan struct{})}
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

// run takes what comes until the association is over.
func (a *association) run() {
	buf := make([]byte, readSize)
	reason := ""
	for reason == "" {
		p, err := a.sock.receive(buf)
		switch {
		case err != nil:
			reason = a.reasonOf(err)
		case p.notification:
			reason = a.notified(p.data)
		default:
			a.arrived(p)
		}
	}
	_ = a.sock.close() // there is nothing left to say
	a.mu.Lock()
	silent := a.silent
	a.mu.Unlock()
	if !silent {
		a.say.line("down reason=%s", reason)
	}
	close(a.done)
}

// reasonOf names an end by the error of the socket.
func (a *association) reasonOf(err error) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ours:
		return "abort"
	case errors.Is(err, io.EOF):
		return "shutdown"
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.ECONNABORTED):
		return "abort"
	}
	return "lost"
}

// arrived counts a piece, once the message has been sent back, if that is the
// mode and it is complete: what the sums tell is on its way.
func (a *association) arrived(p piece) {
	if a.peer.echo.Load() {
		a.sendBack(p)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sums.Add(p.stream, p.ppid, p.data, p.last)
}

func (a *association) sendBack(p piece) {
	whole := p.data
	if !p.last || len(a.message) > 0 {
		a.message = append(a.message, p.data...)
		whole = a.message
	}
	if !p.last {
		return
	}
	a.oob = p.ancillary(a.oob)
	if err := a.sock.send(whole, a.oob); err != nil {
		a.say.line("error echo %v", err)
	}
	a.message = a.message[:0]
}

// notified tells an event. It returns how the association has ended, if it has.
func (a *association) notified(b []byte) (reason string) {
	if len(b) < 8 {
		return ""
	}
	switch sctp.SCTPNotificationType(binary.NativeEndian.Uint16(b)) {
	case sctp.SCTP_ASSOC_CHANGE:
		return a.changed(b)
	case sctp.SCTP_PEER_ADDR_CHANGE:
		if addr, state, ok := pathChange(b); ok {
			a.say.line("addr addr=%v state=%s", addr, state)
		}
	}
	return ""
}

// changed reads a struct sctp_assoc_change.
func (a *association) changed(b []byte) (reason string) {
	const size = 20
	if len(b) < size {
		return ""
	}
	switch sctp.SCTPState(binary.NativeEndian.Uint16(b[8:])) {
	case sctp.SCTP_COMM_UP:
		a.say.line("up out=%d in=%d", binary.NativeEndian.Uint16(b[12:]), binary.NativeEndian.Uint16(b[14:]))
	case sctp.SCTP_RESTART:
		a.mu.Lock()
		a.sums = pattern.Sums{}
		a.mu.Unlock()
		a.message = a.message[:0]
		a.say.line("restart")
	case sctp.SCTP_SHUTDOWN_COMP:
		return "shutdown"
	case sctp.SCTP_CANT_STR_ASSOC, sctp.SCTP_COMM_LOST:
		return a.failure()
	}
	return ""
}

// failure says why the association failed. The notification does not: an ABORT
// without a cause looks there like silence.
func (a *association) failure() string {
	var number int
	err := a.sock.control(func(fd int) (err error) {
		number, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		return err
	})
	if err != nil {
		return a.reasonOf(err)
	}
	return a.reasonOf(unix.Errno(number))
}

// tellSums says what came.
func (a *association) tellSums() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for stream, sum := range a.sums.All() {
		a.say.line("sum stream=%d %v", stream, sum)
	}
	a.say.line("ok sums")
	return nil
}

// shutdown ends the association when all is acknowledged that was sent.
func (a *association) shutdown() error {
	if err := a.sock.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }); err != nil {
		return err
	}
	a.say.line("ok shutdown")
	return nil
}

func (a *association) abort() error {
	if a.over() {
		return errors.New("the association is over")
	}
	a.mu.Lock()
	a.ours = true
	a.mu.Unlock()
	a.say.line("ok abort") // before "down" can be said
	return a.sock.abort()
}

// drop aborts the association, if there still is one, and tells nobody. The
// socket is closed when all have left it.
func (a *association) drop() {
	if a.over() {
		return
	}
	a.mu.Lock()
	a.silent = true
	a.mu.Unlock()
	_ = a.sock.abort() // it is over: so much the better
	<-a.done
	a.senders.Wait()
}

// forget drops the association while no packet gets to the peer.
func (a *association) forget() error {
	if !a.over() {
		addrs, _, err := a.sock.peer()
		if err != nil {
			return fmt.Errorf("the peer's addresses: %w", err)
		}
		restore, err := blackhole(addrs)
		if err != nil {
			return err
		}
		a.drop()
		if err := restore(); err != nil {
			return err
		}
	}
	a.say.line("ok forget")
	return nil
}
