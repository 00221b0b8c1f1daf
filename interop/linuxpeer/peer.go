package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A peer is the process: a listener and an association, if there are any.
type peer struct {
	say  *speaker
	echo atomic.Bool

	mu       sync.Mutex
	listener *socket
	current  *association // the latest one, also when it is over
}

func (p *peer) obey(c command) error {
	switch c.verb {
	case "listen":
		return p.listen(c)
	case "dial":
		return p.dial(c)
	case "mode":
		return p.mode(c.word)
	}
	a := p.association()
	if a == nil {
		return errors.New("there was no association yet")
	}
	switch c.verb {
	case "send":
		return a.send(c)
	case "sums":
		return a.tellSums()
	case "paths":
		return a.tellPaths()
	case "primary":
		return a.setPrimary(c)
	case "shutdown":
		return a.shutdown()
	case "abort":
		return a.abort()
	case "forget":
		return a.forget()
	}
	return errors.New("is no command")
}

func (p *peer) association() *association {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// close ends what there is, with whatever that sends.
func (p *peer) close() {
	p.mu.Lock()
	l, a := p.listener, p.current
	p.listener = nil
	p.mu.Unlock()
	if l != nil {
		l.close()
	}
	if a != nil {
		a.drop()
	}
}

func (p *peer) mode(name string) error {
	if name != "echo" && name != "sink" {
		return fmt.Errorf("%q is neither echo nor sink", name)
	}
	p.echo.Store(name == "echo")
	p.say.line("ok mode")
	return nil
}

func (p *peer) listen(c command) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.close()
		p.listener = nil
	}
	s, err := p.open(c)
	if err != nil {
		return err
	}
	if err := s.control(func(fd int) error { return unix.Listen(fd, 16) }); err != nil {
		s.close()
		return fmt.Errorf("listen: %w", err)
	}
	p.listener = s
	p.say.line("ok listen")
	go p.accept(s) // ends when the socket is closed
	return nil
}

// open makes a socket for listen or dial, bound to from= and, the peer having
// one port for everything, to port=.
func (p *peer) open(c command) (*socket, error) {
	from, err := c.addrs("from")
	if err != nil {
		return nil, err
	}
	port, err := c.number("port", 16)
	if err != nil {
		return nil, err
	}
	udp, err := c.number("udp", 16)
	if err != nil {
		return nil, err
	}
	if err := encapsulate(udp); err != nil {
		return nil, err
	}
	return newSocket(from, uint16(port))
}

func (p *peer) accept(l *socket) {
	for {
		s, err := l.accept()
		if err != nil {
			return // closed
		}
		a := newAssociation(p, s)
		p.mu.Lock()
		old := p.current
		p.current = a
		p.mu.Unlock()
		if old != nil {
			old.drop()
		}
		go a.run() // ends with the association
	}
}

func (p *peer) dial(c command) error {
	to, err := c.addrs("to")
	if err != nil {
		return err
	}
	port, err := c.number("port", 16)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && !p.current.over() {
		return errors.New("there is an association already")
	}
	s, err := p.open(c)
	if err != nil {
		return err
	}
	if err := s.connect(to, uint16(port)); err != nil {
		s.close()
		return fmt.Errorf("connect to %s: %w", join(to), err)
	}
	p.current = newAssociation(p, s)
	p.say.line("ok dial")
	go p.current.run() // ends with the association
	return nil
}

func join(addrs []netip.Addr) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(addrs), " ", ","), "[]")
}

// encapsulate sets the UDP port of our end and of the peer's (RFC 6951), 0 for
// SCTP in IP. What a socket that exists does changes only where it must.
func encapsulate(port uint64) error {
	for _, name := range []string{"udp_port", "encap_port"} {
		file := "/proc/sys/net/sctp/" + name
		is, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("no kernel with SCTP over UDP here: %w: load the module sctp", err)
		}
		want := fmt.Sprint(port)
		if strings.TrimSpace(string(is)) == want {
			continue
		}
		if err := os.WriteFile(file, []byte(want), 0); err != nil {
			return fmt.Errorf("net.sctp.%s=%s: %w: be root", name, want, err)
		}
	}
	return nil
}
