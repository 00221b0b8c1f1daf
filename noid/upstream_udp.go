package noid

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/miekg/dns"
)

// askUDP asks a server over UDP, and over TCP when the answer is cut off or
// others have tried to put one in its place: over TCP they cannot, unless they
// see what is sent (RFC 5452 section 9.3).
//
// While nothing comes the query is sent again. An answer to an earlier one
// counts all the same: over a satellite, and from a server that has to ask others,
// each takes longer than the wait for it.
func (u *upstreams) askUDP(ctx context.Context, q *dns.Msg, up Upstream, s servers) (*dns.Msg, error) {
	packets, cancel := context.WithTimeout(ctx, time.Duration(s.tries)*s.timeout)
	defer cancel()
	replies := make(chan reply, s.tries)
	again := time.NewTicker(s.timeout)
	defer again.Stop()
	for sent := 0; ; {
		if sent < s.tries {
			sent++
			u.running.Go(func() { // ends with this question
				m, err := u.askPacket(packets, q, up, s.timeout/2)
				replies <- reply{up, m, err}
			})
		}
		select {
		case <-again.C:
		case r := <-replies:
			if errors.Is(r.err, errStray) || r.err == nil && r.msg.Truncated {
				return u.askStream(ctx, q, Upstream{Addr: up.Addr, Proto: ProtoTCP})
			}
			return r.msg, r.err
		}
	}
}

// askPacket sends one packet and waits for the answer, until the context ends. The
// socket is fresh and connected, so that its port is the kernel's choice, random
// as the id is, and packets from elsewhere do not reach it (RFC 5452 section
// 9.2). When only packets have come by a time that do not answer, an answer is not
// waited for any longer.
func (u *upstreams) askPacket(ctx context.Context, q *dns.Msg, up Upstream, suspect time.Duration) (*dns.Msg, error) {
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
	_ = conn.SetReadDeadline(time.Now().Add(suspect))
	buf := make([]byte, 4*ednsSize) // some send more than they are asked to
	for strays := 0; strays < maxStrays; {
		n, err := conn.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded) && strays == 0:
			_ = conn.SetReadDeadline(time.Time{})
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errStray
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
