package sctpmh

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/kernel"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// KernelAvailable reports why the Kernel backend cannot be used here, and what
// to do about it, or nil. udpPort is that of the local addresses, 0 for native
// SCTP.
func KernelAvailable(udpPort uint16) error { return kernel.Available(udpPort) }

// A kernelStack runs associations on the kernel's SCTP.
type kernelStack struct {
	// Set once.
	ep       *Endpoint
	addrs    []netip.Addr
	udpPort  uint16 // 0: native SCTP
	cfg      kernel.Config
	listener *kernel.Listener
	ctx      context.Context // ends with close
	cancel   context.CancelFunc

	mu      sync.Mutex // leaf; guards what follows
	drivers map[*kernelDriver]struct{}
	sources sourceCounts
	closed  bool
}

// newKernelStack listens on the local addresses, which have one UDP port, or
// all 0.
func newKernelStack(e *Endpoint, local []netip.AddrPort) (*kernelStack, error) {
	s := &kernelStack{ep: e, udpPort: local[0].Port(), drivers: make(map[*kernelDriver]struct{}), sources: make(sourceCounts)}
	for _, l := range local {
		if l.Port() != s.udpPort {
			return nil, fmt.Errorf("listen on %v: the kernel has one UDP port for SCTP, and %v has another", l, local[0])
		}
		s.addrs = append(s.addrs, l.Addr())
	}
	if err := kernel.Available(s.udpPort); err != nil {
		return nil, fmt.Errorf("listen on %v: %w", local, err)
	}
	s.cfg = kernel.Config{
		Port: e.cfg.Port, MaxStreams: e.cfg.MaxStreams, ReceiveBuffer: e.cfg.ReceiveBuffer, SendBuffer: e.cfg.SendBuffer,
		Adaptation: e.cfg.Adaptation, HeartbeatInterval: e.cfg.HeartbeatInterval, RTOMin: e.cfg.RTOMin, Backlog: backlogLimit,
	}
	var err error
	if s.listener, err = kernel.Listen(s.addrs, &s.cfg); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	e.running.Go(s.accept) // ends when close ends ctx
	return s, nil
}

func (s *kernelStack) locals() (out []netip.AddrPort) {
	for _, a := range s.addrs {
		out = append(out, netip.AddrPortFrom(a, s.udpPort))
	}
	return out
}

// errKernelLocals: an address that is bound later would have to be named to the
// peers with ASCONF (RFC 5061), which the kernel sends only where a sysctl and the
// peer allow it.
var errKernelLocals = errors.New("the kernel's SCTP keeps the addresses that it began with: take another backend, or listen anew")

func (s *kernelStack) addLocal(netip.AddrPort) error { return errKernelLocals }

func (s *kernelStack) removeLocal(netip.Addr) error { return errKernelLocals }

// acceptPause is what accept waits after an error of the system's.
const acceptPause = 100 * time.Millisecond

// accept takes the associations that peers make.
func (s *kernelStack) accept() {
	for {
		c, err := s.listener.Accept(s.ctx)
		switch {
		case s.ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return
		case err != nil:
			// Such as EMFILE: it passes when something is closed.
			s.ep.cfg.Logger.Warn("an association was not accepted", "err", err)
			select {
			case <-s.ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		d, err := s.newDriver(c, c.Peer().Handshake)
		if err != nil {
			s.ep.cfg.Logger.Warn("association refused", "peer", c.Peer().Handshake, "err", err)
			c.Abort(err.Error())
			continue
		}
		select {
		case s.ep.backlog <- d.assoc:
		default:
			s.ep.cfg.Logger.Warn("association refused: too many wait to be accepted", "peer", c.Peer().Handshake, "limit", backlogLimit)
			d.abort("busy")
		}
	}
}

// dial has the kernel try the addresses in turn. It sends to all of them at
// one UDP port.
func (s *kernelStack) dial(ctx context.Context, remote []netip.AddrPort, early func(*Assoc)) (*Assoc, error) {
	if len(remote) == 0 {
		return nil, errors.New("dial: no remote address")
	}
	var to []netip.Addr
	encap := uint16(0)
	if s.udpPort != 0 {
		encap = remote[0].Port()
	}
	for _, r := range remote {
		if s.udpPort == 0 || r.Port() == encap {
			to = append(to, r.Addr())
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	c, err := kernel.Dial(ctx, s.addrs, to, encap, &s.cfg)
	if err != nil {
		return nil, s.dialError(ctx, err, to, encap)
	}
	// What was dialled has yet to be permitted, except for who answered.
	c.Undecided(permitTime)
	d, err := s.newDriver(c, netip.Addr{})
	if err != nil {
		c.Abort(err.Error())
		return nil, err
	}
	return d.assoc, d.early(early)
}

// permitTime is how long the kernel may repeat over any address that was dialled
// what the peer did not acknowledge: until then whoever dials has called Permit,
// or does not mean to. Without the limit a peer could have all data of such an
// association sent to addresses of its name that nobody permitted.
const permitTime = 10 * time.Second

// dialError translates the kernel's.
func (s *kernelStack) dialError(ctx context.Context, err error, to []netip.Addr, encap uint16) error {
	var abort *kernel.AbortError
	switch {
	case s.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded):
		t := &TimeoutError{Op: "handshake"}
		for _, a := range to {
			t.Tried = append(t.Tried, s.pair(a, encap))
		}
		return t
	case errors.As(err, &abort):
		return s.abortError(abort, true)
	}
	return err
}

// pair is the path to an address of a peer. The kernel does not say which
// local address it takes: that of its routes.
func (s *kernelStack) pair(a netip.Addr, encap uint16) Pair {
	to := netip.AddrPortFrom(a, encap)
	return Pair{Local: netip.AddrPortFrom(kernelSource(to), s.udpPort), Remote: to}
}

func (s *kernelStack) abortError(a *kernel.AbortError, dial bool) error {
	return publicError(&engine.AbortError{Remote: a.Remote, Code: wire.CauseCode(a.Code), Reason: a.Reason}, !dial)
}

// newDriver starts an association over a connection; from is who made it, if
// a peer did.
func (s *kernelStack) newDriver(c *kernel.Conn, from netip.Addr) (*kernelDriver, error) {
	d := &kernelDriver{stack: s, conn: c, admitted: from}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.assoc = newAssoc(s.ep, d)
	if err := s.add(d); err != nil {
		d.cancel()
		return nil, err
	}
	d.notePeer()
	d.look()
	d.assoc.establish()
	s.ep.running.Go(d.send) // these end when the association does
	s.ep.running.Go(d.receive)
	return d, nil
}

// add takes an association in unless there are too many.
func (s *kernelStack) add(d *kernelDriver) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return ErrClosed
	case len(s.drivers) >= s.ep.cfg.MaxAssociations:
		return ErrTooManyAssociations
	case d.admitted.IsValid() && !s.sources.admit(d.admitted):
		return errors.New("too many associations of this source")
	}
	s.drivers[d] = struct{}{}
	return nil
}

func (s *kernelStack) remove(d *kernelDriver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.drivers, d)
	if d.admitted.IsValid() {
		s.sources.dismiss(d.admitted)
	}
}

// close aborts the associations that are left and closes the sockets.
func (s *kernelStack) close() {
	s.mu.Lock()
	s.closed = true
	var all []*kernelDriver
	for d := range s.drivers {
		all = append(all, d)
	}
	s.mu.Unlock()
	s.cancel()
	for _, d := range all {
		d.abort("endpoint closed")
		<-d.assoc.done
	}
	s.listener.Close()
}
