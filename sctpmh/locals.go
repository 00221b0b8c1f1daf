package sctpmh

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/sctpmh/mh/sctpmh/internal/addrwatch"
	"github.com/sctpmh/mh/sctpmh/internal/engine"
)

// AddLocal binds one local address more, from which new associations are dialled
// and those that there are get paths: each is probed and, once the peer has
// answered, used. The peer answers when it permits the address, so if it does not
// learn of it (from its records, say) the old paths stay.
//
// Port 0 asks for the port of the endpoint's first address. Where that is taken
// another one is bound: dialled to the usual port the address does not answer, but
// paths from it work all the same, because the peer hears where they come from. An
// address that is bound already is left as it is.
//
// Over the kernel it fails.
func (e *Endpoint) AddLocal(local netip.AddrPort) error {
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	if !local.IsValid() || local.Addr().IsUnspecified() {
		return fmt.Errorf("add local address %v: a path needs a concrete one", local)
	}
	if err := e.stack.addLocal(local); err != nil {
		return fmt.Errorf("add local address %v: %w", local, err)
	}
	return nil
}

// RemoveLocal closes the socket of a local address, for one that will not come
// back. New data takes other paths at once. What comes to the address is lost.
// The last address cannot be removed.
//
// Over the kernel it fails.
func (e *Endpoint) RemoveLocal(local netip.Addr) error {
	if err := e.stack.removeLocal(local.Unmap()); err != nil {
		return fmt.Errorf("remove local address %v: %w", local, err)
	}
	return nil
}

var (
	errLastLocal = errors.New("it is the last one: add another first, or close the endpoint")
	errNoLocal   = errors.New("it is none of the endpoint's")
	errLocals    = fmt.Errorf("there are %d already: remove one first", localLimit)
)

// sockets are those of a stack's local addresses: one goroutine changes which
// there are, any reads.
type sockets struct{ present atomic.Pointer[[]socket] }

func (s *sockets) set(all []socket) { s.present.Store(&all) }

// all returns the sockets, which are not to be written to.
func (s *sockets) all() []socket { return *s.present.Load() }

// find returns the socket of an address, whatever its port.
func (s *sockets) find(a netip.Addr) socket {
	for _, sock := range s.all() {
		if sock.Local().Addr() == a {
			return sock
		}
	}
	return nil
}

// socket returns the socket of a local address, nil when it is closed.
func (s *userStack) socket(local netip.AddrPort) socket {
	for _, sock := range s.socks.all() {
		if sock.Local() == local {
			return sock
		}
	}
	return nil
}

func (s *userStack) locals() (out []netip.AddrPort) {
	for _, sock := range s.socks.all() {
		out = append(out, sock.Local())
	}
	return out
}

// order runs f on the stack's goroutine and returns its error.
func (s *userStack) order(f func() error) error {
	done := make(chan error, 1)
	select {
	case s.command <- func() { done <- f() }:
		return <-done
	case <-s.ep.closing:
		return ErrClosed
	}
}

func (s *userStack) addLocal(local netip.AddrPort) error {
	return s.order(func() error {
		before := s.socks.all()
		switch {
		case s.socks.find(local.Addr()) != nil:
			return nil
		case len(before) >= localLimit:
			return errLocals
		}
		sock, err := s.openBeside(local, s.port)
		if err != nil {
			return err
		}
		if len(before) == 1 {
			// There is a choice from now on: each leaves by its own device.
			if notice := before[0].Bind(); notice != "" {
				s.ep.cfg.Logger.Warn(notice)
			}
		}
		s.present(append(slices.Clip(before), sock))
		s.listen(sock)
		if s.watch != nil {
			s.watch.Add(local.Addr())
		}
		for _, l := range s.table.all() {
			l.order(func(now engine.Time) { l.engine.LocalAdded(now, sock.Local()) })
		}
		return nil
	})
}

// openBeside opens one socket more, at a port of its own if the usual one is
// taken and no other was asked for.
func (s *userStack) openBeside(local netip.AddrPort, usual uint16) (socket, error) {
	if local.Port() != 0 {
		return s.ep.open(local, true)
	}
	sock, err := s.ep.open(netip.AddrPortFrom(local.Addr(), usual), true)
	if errors.Is(err, syscall.EADDRINUSE) {
		return s.ep.open(local, true)
	}
	return sock, err
}

func (s *userStack) removeLocal(local netip.Addr) error {
	return s.order(func() error {
		sock := s.socks.find(local)
		switch {
		case sock == nil:
			return errNoLocal
		case len(s.socks.all()) == 1:
			return errLastLocal
		}
		s.present(slices.DeleteFunc(slices.Clone(s.socks.all()), func(x socket) bool { return x == sock }))
		if s.watch != nil {
			s.watch.Remove(local)
		}
		for _, l := range s.table.all() {
			l.order(func(now engine.Time) { l.engine.LocalRemoved(now, sock.Local()) })
		}
		return sock.Close()
	})
}

// present makes the sockets those that packets and new associations leave by.
func (s *userStack) present(all []socket) {
	s.socks.set(all)
	c := s.ep.cfg.engineConfig(s.locals())
	s.engine.SetLocals(c.Locals, c.List)
}

// watchLocals has the associations told what becomes of the local addresses.
// Those of a simulated network stay as they are.
func (s *userStack) watchLocals() {
	if s.ep.cfg.Socket != nil {
		return
	}
	var addrs []netip.Addr
	for _, l := range s.locals() {
		addrs = append(addrs, l.Addr())
	}
	w, err := addrwatch.Watch(addrs, s.localChanged)
	if err != nil {
		// Timeouts find out too, only later.
		s.ep.cfg.Logger.Warn("changes of local addresses are not seen", "err", err)
		return
	}
	s.watch = w
}

// localChanged tells every association that a local address stopped or started
// to lead out. It is called from a goroutine of the watch's own.
func (s *userStack) localChanged(c addrwatch.Event) {
	if s.socks.find(c.Addr) == nil {
		return // it was removed meanwhile
	}
	s.ep.cfg.Logger.Info("local address", "addr", c.Addr, "usable", c.Up, "cause", c.Cause)
	for _, l := range s.table.all() {
		l.do(func() {
			if c.Up {
				l.engine.LocalRestored(s.now(), c.Addr)
			} else {
				l.engine.LocalFailed(s.now(), c.Addr)
			}
		})
	}
}
