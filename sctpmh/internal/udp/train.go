package udp

import "net/netip"

// A Train gathers packets that one Send takes: to one destination, with the
// same marks, of one size but for the last. A packet that may be fragmented
// goes alone.
type Train struct {
	Buf   []byte
	size  int
	count int
	dst   netip.AddrPort
	sock  *Socket
	marks Marks
	oob   [64]byte
}

// Fits reports whether a packet of n octets may join.
func (t *Train) Fits(n int, sock *Socket, dst netip.AddrPort, m Marks) bool {
	return t.count == 0 ||
		t.sock == sock && t.dst == dst && t.marks == m && !m.Fragment &&
			n <= t.size && t.count < maxSegments && len(t.Buf)+n <= MaxBatch
}

// Push takes the packet that ends t.Buf and is n octets long. It reports
// whether no other may follow, because it is shorter than those before it or
// goes alone.
func (t *Train) Push(n int, sock *Socket, dst netip.AddrPort, m Marks) (last bool) {
	if t.count == 0 {
		t.sock, t.dst, t.marks, t.size = sock, dst, m, n
	}
	t.count++
	return n < t.size || m.Fragment
}

// Local returns the address that the train leaves from; none when it is empty.
func (t *Train) Local() netip.AddrPort {
	if t.count == 0 {
		return netip.AddrPort{}
	}
	return t.sock.Local()
}

// Leave sends what was gathered.
func (t *Train) Leave() error {
	if t.count == 0 {
		return nil
	}
	err := t.sock.Send(t.Buf, t.size, t.dst, t.marks, t.oob[:])
	t.Buf, t.count = t.Buf[:0], 0
	return err
}
