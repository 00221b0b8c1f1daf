package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// Marks are what packets tell the network about themselves.
type Marks struct {
	ECT      bool // ECN-capable, ECT(0) of RFC 3168: a router may mark it instead of dropping it
	Fragment bool // larger than the path is known to carry: the network may fragment it (no DF)
}

// ErrTooBig is the error of a packet that is larger than the MTU of the device
// by which it has to leave.
var ErrTooBig = errors.New("packet larger than the device's MTU")

// Send sends data as packets of size octets, the last one may be shorter. oob
// is scratch memory of the caller's. The error is that of the first packet
// which could not leave; it is never one that ICMP caused (see Hints).
func (s *Socket) Send(data []byte, size int, dst netip.AddrPort, m Marks, oob []byte) error {
	n := (len(data) + size - 1) / size
	oob = marked(oob[:0], dst.Addr(), m)
	refused := false
	if n > 1 && s.gso.Load() && !m.Fragment {
		err := s.write(data, segmented(oob, size), dst, m)
		if err == nil {
			s.stats.Sent.Add(uint64(n))
			return nil
		}
		refused = offloadRefused(err)
		if !refused && !errors.Is(err, ErrTooBig) {
			s.stats.SendErrors.Add(uint64(n))
			return err
		}
		// One by one: then the kernel says what is wrong with a packet, and how
		// large it may be.
	}
	for len(data) > 0 {
		k := min(size, len(data))
		if err := s.write(data[:k], oob, dst, m); err != nil {
			s.stats.SendErrors.Add(uint64((len(data) + size - 1) / size))
			return err
		}
		if refused {
			s.gso.Store(false) // some drivers and tunnels do; from now on one by one
			refused = false
		}
		s.stats.Sent.Add(1)
		data = data[k:]
	}
	return nil
}

// pendingTries bounds how often a datagram is sent again. Once is enough unless
// another ICMP message arrives within the microsecond between; somebody who
// floods us with them needs as many in a row to have an error taken for ours.
const pendingTries = 3

// write sends one datagram, or several that oob has the kernel cut apart.
//
// While Hints runs, the kernel lets a send fail with the error that ICMP
// reported for an earlier one, perhaps to elsewhere; this one has then not left,
// and the error is gone. The lock keeps Hints from making the next queued error
// pending in between, which it does by taking one off the queue.
func (s *Socket) write(data, oob []byte, dst netip.AddrPort, m Marks) error {
	err := s.writeOnce(data, oob, dst, m)
	if err != nil && mayBePending(err) {
		s.errq.Lock()
		for i := 0; i < pendingTries && err != nil && mayBePending(err); i++ {
			err = s.writeOnce(data, oob, dst, m)
		}
		s.errq.Unlock()
	}
	if errors.Is(err, syscall.EMSGSIZE) {
		return fmt.Errorf("%w: %w", ErrTooBig, err)
	}
	return err
}

func (s *Socket) writeOnce(data, oob []byte, dst netip.AddrPort, m Marks) (err error) {
	switch {
	case m.Fragment:
		return s.writeFragment(data, oob, dst)
	case len(oob) == 0:
		_, err = s.conn.WriteToUDPAddrPort(data, dst)
	default:
		_, _, err = s.conn.WriteMsgUDPAddrPort(data, oob, dst)
	}
	return err
}
