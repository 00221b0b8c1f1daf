package udp

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// hintLimit bounds the hints in a hintWindow. An attacker can send ICMP
	// messages without end; each would fail a system call of ours and take room
	// in the receive buffer. After so many the kernel is told to ignore ICMP
	// until the window is over, which also discards what is queued: hints are
	// only hints.
	hintLimit  = 256
	hintWindow = 250 * time.Millisecond

	// quoteLimit is how much of a quoted datagram is passed on: a common header
	// and the chunk that follows.
	quoteLimit = 128
)

// Hints calls f with each hint until the socket is closed, and returns
// net.ErrClosed then. The hint's Packet is only valid during the call. ICMP has
// no effect on a socket without Hints.
func (s *Socket) Hints(f func(Hint)) error {
	if err := s.recvErr(true); err != nil {
		return err
	}
	var b hintBudget
	buf, oob := make([]byte, quoteLimit), make([]byte, 256)
	for {
		if err := s.watch.wait(); err != nil {
			return err
		}
		for {
			h, ok, err := s.takeError(buf, oob)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			if ok {
				f(h)
			}
			if b.spent(time.Now()) {
				if err := s.ignoreErrors(hintWindow); err != nil {
					return err
				}
				break
			}
		}
	}
}

// A hintBudget is what is left of hintLimit.
type hintBudget struct {
	start time.Time // of the window
	used  int
}

// spent counts one message and reports whether it was the last for now.
func (b *hintBudget) spent(now time.Time) bool {
	if now.Sub(b.start) >= hintWindow {
		*b = hintBudget{start: now}
	}
	b.used++
	return b.used >= hintLimit
}

// ignoreErrors has the kernel discard errors for a time, and those that wait.
func (s *Socket) ignoreErrors(d time.Duration) error {
	if err := s.recvErr(false); err != nil {
		return err
	}
	if err := s.watch.pause(d); err != nil {
		return err
	}
	return s.recvErr(true)
}

// recvErr has the kernel queue errors, or not.
func (s *Socket) recvErr(on bool) error {
	level, opt, v := unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 0
	if s.local.Addr().Is4() {
		level, opt = unix.IPPROTO_IP, unix.IP_RECVERR
	}
	if on {
		v = 1
	}
	return control(s.raw, func(fd int) error { return unix.SetsockoptInt(fd, level, opt, v) })
}

// takeError takes one message off the error queue. Without one the error is
// EAGAIN; ok says whether it is a hint.
func (s *Socket) takeError(buf, oob []byte) (h Hint, ok bool, err error) {
	s.errq.Lock()
	defer s.errq.Unlock()
	err = control(s.raw, func(fd int) error {
		n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return err
		}
		h, ok = parseHint(oob[:oobn])
		h.Remote, h.Packet = addrPort(from), buf[:n]
		ok = ok && h.Remote.IsValid()
		return nil
	})
	return h, ok, err
}

func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
