package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// port is the only SCTP port that pion has.
const port = 5000

// A peer is the process: a socket and an association at most.
type peer struct {
	say *speaker

	mu        sync.Mutex
	sock      *net.UDPConn // nil before the first listen or dial
	listening bool
	echo      bool
	current   *association // the latest, also when it is over
}

// obey carries a command out, or says why it cannot.
func (p *peer) obey(verb string, args arguments) error {
	switch verb {
	case "listen":
		return p.listen(args)
	case "dial":
		return p.dial(args)
	case "mode":
		return p.mode(args[""])
	case "paths":
		p.say.line("ok paths")
		return nil
	case "primary":
		return errors.New("pion has one path")
	}
	a := p.association()
	if a == nil {
		return errors.New("no association yet")
	}
	switch verb {
	case "send":
		return a.send(args)
	case "sums":
		return a.tell()
	case "shutdown":
		return a.shutdown()
	case "abort":
		return a.abort()
	case "forget":
		return p.forget(a)
	}
	return errors.New("unknown command")
}

func (p *peer) association() *association {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

func (p *peer) mode(name string) error {
	if name != "echo" && name != "sink" {
		return fmt.Errorf("%q is neither echo nor sink", name)
	}
	p.mu.Lock()
	p.echo = name == "echo"
	p.mu.Unlock()
	p.say.line("ok mode")
	return nil
}

func (p *peer) listen(args arguments) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(args); err != nil {
		return err
	}
	p.listening = true
	p.say.line("ok listen")
	return nil
}

func (p *peer) dial(args arguments) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && !p.current.over() {
		return errors.New("there is an association already")
	}
	if err := p.open(args); err != nil {
		return err
	}
	to, err := address(args, "to")
	if err != nil {
		return err
	}
	p.say.line("ok dial")
	p.start(to, true)
	return nil
}

// address makes a UDP address of the first of those in a list and udp=.
func address(args arguments, list string) (netip.AddrPort, error) {
	first, _, _ := strings.Cut(args[list], ",")
	ip, err := netip.ParseAddr(first)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s=%s: %v", list, args[list], err)
	}
	udp, err := args.number("udp")
	if err == nil && (udp == 0 || udp > 65535) {
		err = fmt.Errorf("udp=%s: pion runs over datagrams only", args["udp"])
	}
	return netip.AddrPortFrom(ip, uint16(udp)), err
}

// open opens the socket at the first of the addresses, once. p.mu is held.
func (p *peer) open(args arguments) error {
	if n, err := args.number("port"); err != nil || n != port {
		return fmt.Errorf("port=%s: pion has the SCTP port %d only", args["port"], port)
	}
	local, err := address(args, "from")
	if err != nil || p.sock != nil {
		return err
	}
	if p.sock, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(local)); err != nil {
		return err
	}
	_ = p.sock.SetReadBuffer(4 << 20) // else bursts are lost
	_ = p.sock.SetWriteBuffer(4 << 20)
	go p.read() // ends with the process
	return nil
}

// read gives packets to the association that they are for, and begins one when
// a packet asks for it.
func (p *peer) read() {
	buf := make([]byte, receiveMax)
	for {
		n, from, err := p.sock.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP message about an earlier packet
		}
		packet := append([]byte(nil), buf[:n]...)
		p.mu.Lock()
		p.deliver(from, packet)
		p.mu.Unlock()
	}
}

// deliver is called with p.mu held.
func (p *peer) deliver(from netip.AddrPort, packet []byte) {
	if a := p.current; a != nil && !a.over() {
		if a.flow.remote == from {
			a.flow.deliver(packet)
		}
		return
	}
	if c := firstChunk(packet); p.listening && c != nil && c[0] == chunkINIT {
		p.start(from, false)
		p.current.flow.deliver(packet)
	}
}

// start makes an association with an address. p.mu is held.
func (p *peer) start(with netip.AddrPort, dial bool) {
	p.current = newAssociation(p, with)
	go p.current.run(dial) // ends when the association is over
}

// echoes reports the mode.
func (p *peer) echoes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.echo
}

// forget drops an association that the other end goes on to believe in.
func (p *peer) forget(a *association) error {
	a.forget()
	p.say.line("ok forget")
	return nil
}
