package kernel

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Paths returns the addresses of the peer as they are now, nothing after the
// end (SCTP_GET_PEER_ADDRS, SCTP_GET_PEER_ADDR_INFO).
func (c *Conn) Paths() []Path {
	paths, _ := c.paths() // the error is that it has ended
	return paths
}

func (c *Conn) paths() ([]Path, error) {
	addrs, _, err := c.sock.addrs(optPeerAddrs)
	if err != nil {
		return nil, err
	}
	prim := c.primary()
	paths := make([]Path, 0, len(addrs))
	for _, a := range addrs {
		info := peerAddrInfo{addr: toStorage(a, c.port)}
		if _, err := c.sock.get(optPeerAddrInfo, octets(&info)); err != nil {
			continue // it was removed meanwhile
		}
		encap := newEncapPort(a, c.port, 0)
		_, _ = c.sock.get(optRemoteEncapPort, octets(encap)) // 0 stays
		paths = append(paths, Path{
			Addr: a, EncapPort: binary.BigEndian.Uint16(encap.port[:]), State: PathState(info.state),
			Primary: a == prim, Permitted: c.permits(a),
			SRTT: duration(info.srtt), RTO: duration(info.rto), Cwnd: int(info.cwnd), MTU: int(info.mtu),
		})
	}
	return paths, nil
}

// addrs reads a list of addresses and the SCTP port that they have. The length
// that the kernel returns counts the list's header for one of the two options
// only, so it is the count in the header that says how long the list is.
func (s *socket) addrs(num int) ([]netip.Addr, uint16, error) {
	buf := make([]byte, 8+maxAddrs*sizeofInet6)
	if _, err := s.get(num, buf); err != nil {
		return nil, 0, err
	}
	addrs, port := parseAddrs(buf)
	return addrs, port, nil
}

// primary is the address that data takes while it is active, the zero one
// after the end.
func (c *Conn) primary() netip.Addr {
	var p primary
	if _, err := c.sock.get(optPrimaryAddr, octets(&p)); err != nil {
		return netip.Addr{}
	}
	return p.addr.addr()
}

// SetPrimary prefers an address of the peer for new data while it is active
// (SCTP_PRIMARY_ADDR). Do not name an unconfirmed one: the kernel obeys, and
// sends data there.
func (c *Conn) SetPrimary(a netip.Addr) error {
	return c.setPath("SCTP_PRIMARY_ADDR", a, optPrimaryAddr, octets(&primary{addr: toStorage(a, c.port)}))
}

// SetHeartbeats has an address of the peer probed when it has been idle for an
// interval, of at least a millisecond; 0 stops that. Addresses that Restrict
// does not permit are to be left alone.
func (c *Conn) SetHeartbeats(a netip.Addr, interval time.Duration) error {
	p := peerAddrParams{addr: toStorage(a, c.port), flags: pack32(heartbeatOff)}
	if interval > 0 {
		p.heartbeat, p.flags = milliseconds(interval), pack32(heartbeatOn)
	}
	return c.setPath("SCTP_PEER_ADDR_PARAMS", a, optPeerAddrParams, octets(&p))
}

// Probe sends a HEARTBEAT to an address of the peer now (SPP_HB_DEMAND).
func (c *Conn) Probe(a netip.Addr) error {
	p := peerAddrParams{addr: toStorage(a, c.port), flags: pack32(heartbeatNow)}
	return c.setPath("SCTP_PEER_ADDR_PARAMS", a, optPeerAddrParams, octets(&p))
}

// SetThresholds says after how many timeouts in a row an address of the peer is
// inactive, and after how many more than pf it is left (SCTP_PEER_ADDR_THLDS).
// It is never left when pf is not below maxRetrans-1. maxRetrans 0 leaves that
// number as it is.
func (c *Conn) SetThresholds(a netip.Addr, maxRetrans, pf uint16) error {
	t := thresholds{addr: toStorage(a, c.port), maxRetrans: maxRetrans, pf: pf}
	return c.setPath("SCTP_PEER_ADDR_THLDS", a, optThresholds, octets(&t))
}

// SetEncapPort says which UDP port an address of the peer is reached at, 0:
// native SCTP (SCTP_REMOTE_UDP_ENCAPS_PORT). The kernel changes it by itself
// when packets come from another port.
func (c *Conn) SetEncapPort(a netip.Addr, port uint16) error {
	return c.setPath("SCTP_REMOTE_UDP_ENCAPS_PORT", a, optRemoteEncapPort, octets(newEncapPort(a, c.port, port)))
}

func (c *Conn) setPath(name string, a netip.Addr, num int, value []byte) error {
	if err := c.sock.set(num, value); err != nil {
		return &OpError{Op: name, Addrs: []netip.Addr{a}, Err: err}
	}
	return nil
}

// SetRTOMin changes the least retransmission timeout (SCTP_RTOINFO).
func (c *Conn) SetRTOMin(d time.Duration) error {
	return c.setAssoc("SCTP_RTOINFO", optRTOInfo, octets((&Config{RTOMin: d}).rtoInfo()))
}

// SetMaxRetrans says after how many timeouts in a row over all paths the
// association ends (SCTP_ASSOCINFO). Where there are several paths the kernel
// refuses more than the sum of what they take.
func (c *Conn) SetMaxRetrans(n uint16) error {
	return c.setAssoc("SCTP_ASSOCINFO", optAssocInfo, octets(&assocParams{maxRetrans: n}))
}

// SetSACKDelay changes how long acknowledgements are held back, at most 500 ms
// (SCTP_DELAYED_SACK).
func (c *Conn) SetSACKDelay(d time.Duration) error {
	return c.setAssoc("SCTP_DELAYED_SACK", optDelayedSACK, octets(&sackInfo{delay: milliseconds(d), freq: 2}))
}

func (c *Conn) setAssoc(name string, num int, value []byte) error {
	if err := c.sock.set(num, value); err != nil {
		return &optionError{name, err}
	}
	return nil
}

// Stats returns the counters, zeros after the end.
func (c *Conn) Stats() Stats {
	var s assocStats
	if _, err := c.sock.get(optAssocStats, octets(&s)); err != nil {
		return Stats{}
	}
	return Stats{
		PacketsSent: s.outPackets, PacketsReceived: s.inPackets,
		Retransmits: s.retransmits, Duplicates: s.duplicates, OutOfOrder: s.outOfOrder,
		ChunksSent: s.outOrdered + s.outUnordered, ChunksReceived: s.inOrdered + s.inUnordered,
		SACKsSent: s.outSACKs, SACKsReceived: s.inSACKs,
		RTOMax: time.Duration(s.rtoMax) * time.Millisecond,
	}
}
