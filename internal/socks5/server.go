package socks5

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Defaults of a Server.
const (
	defaultHandshake   = 10 * time.Second
	defaultConnect     = 30 * time.Second
	defaultConnections = 10000
	defaultPerClient   = 1000
)

// A Server serves clients. Its fields are set before Serve and not changed
// after.
type Server struct {
	// Dial connects to the target. The error's class decides the reply.
	Dial func(context.Context, Request) (net.Conn, error)

	// Relay passes octets between the client and the target until both
	// directions have ended, and closes both.
	Relay func(ctx context.Context, r Request, client, target net.Conn)

	// Refused, if set, is told of a client that got no connection.
	Refused func(r Request, err error)

	// Handshake bounds the time until a request is complete, Connect that of
	// Dial. Zero: 10 s and 30 s.
	Handshake, Connect time.Duration

	// Connections bounds the clients served at once, PerClient those from one
	// address; further ones are closed at once. Without them one client could
	// use up every descriptor. Zero: 10,000 and 1,000.
	Connections, PerClient int

	mu      sync.Mutex // leaf; guards what follows
	total   int
	clients map[netip.Addr]int
	running sync.WaitGroup
}

// Serve accepts clients until the listener is closed, and returns when all of
// them are gone. Clients that are being served when ctx ends are cut off.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.running.Wait()
	for delay := time.Millisecond; ; {
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of descriptors, most likely: others will close theirs.
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return nil
			}
			delay = min(2*delay, time.Second)
			continue
		}
		delay = time.Millisecond
		client := remoteAddr(c)
		if !s.admit(client.Addr()) {
			c.Close()
			if s.Refused != nil {
				s.Refused(Request{Client: client}, errTooMany)
			}
			continue
		}
		s.running.Go(func() { // ends with the client
			defer s.leave(client.Addr())
			s.serve(ctx, c, client)
		})
	}
}

var errTooMany = errors.New("too many connections: raise limits.connections or limits.per-client")

func remoteAddr(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// admit counts a client in, unless there are too many.
func (s *Server) admit(a netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients == nil {
		s.clients = make(map[netip.Addr]int)
	}
	if s.total >= or(s.Connections, defaultConnections) || s.clients[a] >= or(s.PerClient, defaultPerClient) {
		return false
	}
	s.total++
	s.clients[a]++
	return true
}

func (s *Server) leave(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.clients[a]--; s.clients[a] == 0 {
		delete(s.clients, a)
	}
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// serve is one client's connection.
func (s *Server) serve(ctx context.Context, c net.Conn, client netip.AddrPort) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	_ = c.SetDeadline(time.Now().Add(or(s.Handshake, defaultHandshake)))
	in := &input{c: c}
	req, err := in.request()
	req.Client = client
	if err != nil {
		s.refuse(c, req, err)
		return
	}
	_ = c.SetDeadline(time.Time{})
	dialCtx, cancel := context.WithTimeout(ctx, or(s.Connect, defaultConnect))
	target, err := s.Dial(dialCtx, req)
	cancel()
	if err != nil {
		s.refuse(c, req, err)
		return
	}
	bound := localAddr(target)
	if _, err := c.Write(appendReply(nil, req.Protocol, ReplyOK, bound, "")); err != nil {
		target.Close()
		return
	}
	rest := c // itself if it can be: urgent octets come from TCP alone
	if len(in.buf) > 0 {
		rest = &prefixed{Conn: c, early: in.buf}
	}
	s.Relay(ctx, req, rest, target)
}

func localAddr(c net.Conn) netip.AddrPort {
	if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// refuse tells the client, as far as its protocol can, what went wrong.
func (s *Server) refuse(c net.Conn, req Request, err error) {
	if s.Refused != nil {
		s.Refused(req, err)
	}
	var netErr net.Error
	if errors.As(err, &netErr) && req.Port == 0 || errors.Is(err, errSilent) {
		return // the client never said what it wants
	}
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.Write(appendReply(nil, req.Protocol, ReplyTo(err), netip.AddrPort{}, err.Error()))
}

func appendReply(b []byte, p Protocol, code Reply, bound netip.AddrPort, why string) []byte {
	switch p {
	case SOCKS4:
		return appendReply4(b, code, bound)
	case HTTP:
		return appendReplyHTTP(b, code, why)
	}
	return appendReply5(b, code, bound)
}

// input reads messages of unknown length without taking octets that belong to
// the stream behind them.
type input struct {
	c   net.Conn
	buf []byte
}

// errSilent is a client that hung up or spoke no protocol of ours: there is
// nothing to answer.
var errSilent = errors.New("the client sent no request")

// message reads until parse has a whole message of at most limit octets.
func (in *input) message(limit int, parse func([]byte) (n int, err error)) error {
	for {
		n, err := parse(in.buf)
		if err != errShort {
			in.buf = in.buf[n:]
			return err
		}
		if len(in.buf) >= limit {
			return malformed("request is longer than %d octets", limit)
		}
		if err := in.more(limit); err != nil {
			return err
		}
	}
}

func (in *input) more(limit int) error {
	chunk := make([]byte, limit-len(in.buf))
	n, err := in.c.Read(chunk)
	in.buf = append(in.buf, chunk[:n]...)
	if n > 0 {
		return nil
	}
	return errors.Join(errSilent, err)
}

// request reads a whole request of whichever protocol the first octet tells.
func (in *input) request() (req Request, err error) {
	for len(in.buf) == 0 {
		if err := in.more(maxSOCKS); err != nil {
			return req, err
		}
	}
	switch in.buf[0] {
	case version5:
		return in.request5()
	case version4:
		req.Protocol = SOCKS4
		err = in.message(maxSOCKS, func(b []byte) (n int, err error) { req, n, err = parseRequest4(b); return n, err })
		req.Protocol = SOCKS4
	default:
		if in.buf[0] < 'A' || in.buf[0] > 'Z' {
			return req, errSilent
		}
		err = in.message(maxHTTP, func(b []byte) (n int, err error) { req, n, err = parseHTTP(b); return n, err })
		req.Protocol = HTTP
	}
	return req, err
}

func (in *input) request5() (req Request, err error) {
	var methods []byte
	err = in.message(maxSOCKS, func(b []byte) (n int, err error) { methods, n, err = parseGreeting(b); return n, err })
	if err != nil {
		return req, err
	}
	method := chooseMethod(methods)
	if _, err := in.c.Write(appendMethod(nil, method)); err != nil {
		return req, err
	}
	if method == methodUnacceptable {
		return req, errors.Join(errSilent, errors.New("the client offers no method without authentication"))
	}
	err = in.message(maxSOCKS, func(b []byte) (n int, err error) { req, n, err = parseRequest5(b); return n, err })
	return req, err
}

// prefixed is a connection whose first octets were read already.
type prefixed struct {
	net.Conn
	early []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.early) > 0 {
		n := copy(b, p.early)
		p.early = p.early[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite ends the direction to the client.
func (p *prefixed) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return p.Conn.Close()
}

// SetLinger passes on how the connection is closed.
func (p *prefixed) SetLinger(sec int) error {
	if c, ok := p.Conn.(interface{ SetLinger(int) error }); ok {
		return c.SetLinger(sec)
	}
	return nil
}
