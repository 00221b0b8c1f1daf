package tcpemu

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// States of TCP, as the kernel numbers them.
const (
	tcpTimeWait  = 6
	tcpClose     = 7
	tcpCloseWait = 8
	tcpLastAck   = 9
	tcpClosing   = 11
)

// tcpLink is what the kernel says of a connection of TCP over loopback.
type tcpLink struct {
	ends   [2]*net.TCPConn
	resets [2]bool // the end was closed with octets unread, or linger zero
	vain   [2]bool // the end wrote to one that reads no more
}

// readable reports whether a Read of an end would not wait.
func (l *tcpLink) readable(e int) (ready bool) {
	l.control(e, func(fd int) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
		n, _ := unix.Poll(fds, 0)
		ready = n > 0
	})
	return ready
}

// info asks about an end; ok is false when it is closed.
func (l *tcpLink) info(e int) (state uint8, received uint64, ok bool) {
	l.control(e, func(fd int) {
		if i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			state, received, ok = i.State, i.Bytes_received, true
		}
	})
	return state, received, ok
}

func (l *tcpLink) state(e int) uint8 {
	state, _, _ := l.info(e)
	return state
}

// received is how many octets have arrived at an end.
func (l *tcpLink) received(e int) int {
	_, n, _ := l.info(e)
	return int(n)
}

func (l *tcpLink) control(e int, f func(fd int)) {
	if raw, err := l.ends[e].SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// closing notes, before an end is closed, whether that resets the connection.
func (l *tcpLink) closing(e int, linger int) {
	l.control(e, func(fd int) {
		unread, _ := unix.IoctlGetInt(fd, unix.TIOCINQ)
		l.resets[e] = linger == 0 || unread > 0
	})
}

// rest waits until each end has heard of what the other did.
func (l *tcpLink) rest(p *player) error {
	for deadline := time.Now().Add(stepLimit); ; {
		moving := l.moving(p, 0)
		if moving == "" {
			moving = l.moving(p, 1)
		}
		if moving == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New(moving)
		}
		var fds []unix.PollFd
		for e := range 2 {
			l.control(e, func(fd int) { fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP}) })
		}
		_, _ = unix.Poll(fds, 1) // the kernel tells of an end, and of nothing else that we wait for
	}
}

// moving says what an end has not heard of yet.
func (l *tcpLink) moving(p *player, e int) string {
	other := 1 - e
	state, _, open := l.info(e)
	if !open || state == tcpClose {
		return ""
	}
	otherState, received, otherOpen := l.info(other)
	flowing := p.flooded[other] || p.pending[other] == doFlood
	heard := state == tcpCloseWait || state == tcpLastAck || state == tcpClosing || state == tcpTimeWait
	what := ""
	switch {
	case otherOpen && otherState == tcpClose, !otherOpen && l.resets[other], l.vain[e], p.deaf(other) && p.flooding(e):
		what = "a reset"
	case p.finished[other] && !flowing && !heard:
		what = "FIN"
	case p.finished[0] && p.finished[1] && !p.messy():
		what = "the last acknowledgement"
	case otherOpen && received < uint64(p.onItsWay(&p.tcp, e)):
		what = "data"
	default:
		return ""
	}
	return fmt.Sprintf("end %d in state %d, the other in %d: %s is under way", e, state, otherState, what)
}

// onItsWay is how much of what an end wrote and is writing must have arrived.
func (p *player) onItsWay(x *subject, e int) int {
	n := x.written[e]
	if p.flooded[e] && p.pending[e] == nothing {
		return 0
	}
	if p.flooding(e) {
		n += floodBegun
	}
	return n
}

// restOurs waits until all that an end has sent is handled by the other, and
// what that made it send, and what that made it send.
func (p *player) restOurs() error {
	ends, begun := p.ours.ends, time.Now()
	limit := time.NewTimer(stepLimit)
	defer limit.Stop()
	for _, e := range []int{0, 1, 0} {
		c := ends[e].(*Conn)
		for first := true; first || !p.flooded[e] && p.pending[e] != doFlood && c.holdsBack() || ends[1-e].(*Conn).lacks(p.onItsWay(&p.ours, e)); first = false {
			if time.Since(begun) > stepLimit {
				return fmt.Errorf("octets of end %d do not arrive", e)
			}
			if p.pending[e] != doFlood {
				c.writing <- struct{}{} // FIN is queued by one who has it
				c.doneWriting()
			}
			arrived := make(chan struct{})
			c.s.ping(c.sid, true, func() { close(arrived) })
			select {
			case <-arrived:
			case <-c.s.assoc.Done():
				return fmt.Errorf("the association has ended: %w", c.s.reason())
			case <-limit.C:
				return fmt.Errorf("end %d: something is not sent, or no answer to PING", e)
			}
		}
	}
	return nil
}

// lacks reports whether less has arrived than must have.
func (c *Conn) lacks(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.overLocked() && c.recv.received < uint64(n)
}

// holdsBack reports whether Nagle's algorithm holds something back that the
// peer has room for, or FIN waits for its turn.
func (c *Conn) holdsBack() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, s := c.nagle, &c.send
	if g == nil {
		return false
	}
	return s.sent < s.limit && (len(g.held) > 0 || g.sending) || s.closing && !s.ended && len(g.held) == 0
}
