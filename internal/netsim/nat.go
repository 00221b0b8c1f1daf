package netsim

import (
	"net/netip"
	"time"
)

// nat rewrites the addresses of a link's A side to one public address, a port
// for each (source, destination), as endpoint-dependent NATs do.
type nat struct {
	public netip.Addr
	idle   time.Duration // after which a mapping is gone
	next   uint16
	maps   []mapping
}

type mapping struct {
	inside, outside, peer netip.AddrPort
	used                  Time
}

// NAT puts an address translator before the A side of the link: B sees the
// public address. Mappings end after being idle for the given time.
func (l *Link) NAT(public netip.Addr, idle time.Duration) {
	l.nat = &nat{public: public, idle: idle, next: 20000}
}

// Rebind forgets all mappings, as a NAT that restarts does.
func (l *Link) Rebind() {
	if l.nat != nil {
		l.nat.maps = nil
	}
}

// translate rewrites a packet. It reports false for one from outside that no
// mapping admits.
func (t *nat) translate(now Time, p Packet, up bool) (Packet, bool) {
	for i := range t.maps {
		m := &t.maps[i]
		if now > m.used.Add(t.idle) {
			continue
		}
		switch {
		case up && m.inside == p.Src && m.peer == p.Dst:
			m.used = now
			p.Src = m.outside
			return p, true
		case !up && m.outside == p.Dst && m.peer == p.Src:
			m.used = now
			p.Dst = m.inside
			return p, true
		}
	}
	if !up {
		return p, false
	}
	t.next++
	m := mapping{inside: p.Src, outside: netip.AddrPortFrom(t.public, t.next), peer: p.Dst, used: now}
	t.maps = append(t.maps, m)
	p.Src = m.outside
	return p, true
}
