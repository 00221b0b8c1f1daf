package noid

import (
	"context"
	"errors"
	"time"

	"github.com/miekg/dns"
)

// askUDP asks a server over UDP, and over TCP when the answer is cut off or
// others have tried to put one in its place: over TCP they cannot, unless they
// see what is sent (RFC 5452 section 9.3).
func (u *upstreams) askUDP(ctx context.Context, q *dns.Msg, up Upstream, timeout time.Duration) (*dns.Msg, error) {
	m, err := u.askPacket(ctx, q, up, timeout)
	if errors.Is(err, errStray) || err == nil && m.Truncated {
		return u.askStream(ctx, q, Upstream{Addr: up.Addr, Proto: ProtoTCP})
	}
	return m, err
}

// askPacket sends one packet and waits for the answer. The socket is fresh and
// connected, so that its port is the kernel's choice, random as the id is, and
// packets from elsewhere do not reach it (RFC 5452 section 9.2).
func (u *upstreams) askPacket(ctx context.Context, q *dns.Msg, up Upstream, timeout time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	id := newID()
	b, err := pack(q, id, false)
	if err != nil {
		return nil, err
	}
	conn, err := u.dial(ctx, "udp", up.Addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write(b); err != nil {
		return nil, err
	}
	buf := make([]byte, 4*ednsSize) // some send more than they are asked to
	for strays := 0; strays < maxStrays; {
		n, err := conn.Read(buf)
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded) && strays > 0:
			return nil, errStray
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, err
		}
		if m, err := unpack(buf[:n], q, id); err == nil {
			return m, nil
		}
		strays++
	}
	return nil, errStray
}
