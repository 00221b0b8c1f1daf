package netsim

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/internal/datagram"
)

// A Live is a network whose time is that of package time, and whose hosts have
// sockets that block. In a bubble of testing/synctest that time is virtual: what
// takes a minute over these links takes as long as the processor needs.
//
// What becomes of the k-th packet over a link still depends on the seed alone.
// Which packet that is depends on how its senders are scheduled, so two runs of
// one seed may differ.
type Live struct {
	start time.Time

	mu   sync.Mutex // leaf: sockets are woken through channels with room
	net  *Net
	wake *time.Timer // at the next event; nil before the first
}

// NewLive returns an empty network that begins now.
func NewLive(seed uint64) *Live { return &Live{start: time.Now(), net: New(seed)} }

// Do calls f at the present instant, and then lets happen what f caused. Links
// are joined, cut and changed within.
func (l *Live) Do(f func(*Net)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass()
	f(l.net)
	l.pass()
}

// pass lets happen what is due, and sets the timer for what is next. It is
// called with mu held.
func (l *Live) pass() {
	now := Start.Add(time.Since(l.start))
	if err := l.net.Run(now, nil); err != nil {
		panic("BUG: " + err.Error()) // only a node that is no Host can cause it
	}
	at, ok := l.net.next()
	switch {
	case !ok:
	case l.wake == nil:
		l.wake = time.AfterFunc(time.Duration(at-now), l.tick)
	default:
		l.wake.Reset(time.Duration(at - now))
	}
}

func (l *Live) tick() { l.Do(func(*Net) {}) }

// A Host is a node of a Live network, with sockets.
type Host struct {
	live *Live

	// Guarded by live.mu.
	socks map[netip.AddrPort]*hostSocket
	port  uint16   // the latest that was given out
	out   []Packet // sent, the network has yet to take them
}

// AddHost adds a host; links give it addresses.
func (l *Live) AddHost() *Host {
	h := &Host{live: l, socks: make(map[netip.AddrPort]*hostSocket), port: 40000}
	l.Do(func(n *Net) { n.Add(h) })
	return h
}

// Deliver gives a packet to the socket that it is for.
func (h *Host) Deliver(_ Time, p Packet) {
	if s := h.socks[p.Dst]; s != nil {
		select {
		case s.in <- p:
		default: // its buffer is full
		}
	}
}

// Deadline reports that a host does nothing of its own accord.
func (h *Host) Deadline() (at Time, ok bool) { return 0, false }

// Expire does nothing.
func (h *Host) Expire(Time) {}

// Poll returns the next packet that was sent.
func (h *Host) Poll(Time) (p Packet, ok bool) {
	if len(h.out) == 0 {
		h.out = nil
		return p, false
	}
	p, h.out = h.out[0], h.out[1:]
	return p, true
}

// socketBuffer is how many packets wait in a socket to be received.
const socketBuffer = 4096

// hostSocket is a datagram.Socket of a Host.
type hostSocket struct {
	// Set once.
	host  *Host
	local netip.AddrPort
	in    chan Packet
	done  chan struct{} // closed by Close
	once  sync.Once
}

// Listen opens a socket on an address of the host. Port 0 takes one that is
// free.
func (h *Host) Listen(local netip.AddrPort) (datagram.Socket, error) {
	h.live.mu.Lock()
	defer h.live.mu.Unlock()
	if local.Port() == 0 {
		h.port++
		local = netip.AddrPortFrom(local.Addr(), h.port)
	}
	if h.socks[local] != nil {
		return nil, fmt.Errorf("listen on simulated %v: %w", local, syscall.EADDRINUSE)
	}
	s := &hostSocket{host: h, local: local, in: make(chan Packet, socketBuffer), done: make(chan struct{})}
	h.socks[local] = s
	return s, nil
}

func (s *hostSocket) Local() netip.AddrPort { return s.local }

func (s *hostSocket) Receive() (datagram.Packet, error) {
	select {
	case p := <-s.in:
		return datagram.Packet(p), nil
	case <-s.done:
		return datagram.Packet{}, net.ErrClosed
	}
}

func (s *hostSocket) Send(p datagram.Packet) error {
	select {
	case <-s.done:
		return net.ErrClosed
	default:
	}
	p.Src, p.Data = s.local, append([]byte(nil), p.Data...)
	s.host.live.Do(func(*Net) { s.host.out = append(s.host.out, Packet(p)) })
	return nil
}

func (s *hostSocket) Close() error {
	s.once.Do(func() {
		s.host.live.mu.Lock()
		delete(s.host.socks, s.local)
		s.host.live.mu.Unlock()
		close(s.done)
	})
	return nil
}
