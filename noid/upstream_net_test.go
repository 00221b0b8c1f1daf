package noid

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// serversTest is DNS servers in memory and who asks them, in a bubble, so that
// no wait costs time.
type serversTest struct {
	t    *testing.T
	list []Upstream
	up   *upstreams
	wg   sync.WaitGroup // queries
	ends sync.WaitGroup // servers
	mu   sync.Mutex
	net  map[string]func(peer) // by network and address
	made map[string]int        // connections, by network and address
}

// A peer is the server's end of a connection.
type peer struct {
	net.Conn
	stream bool
	ends   *sync.WaitGroup // what goes on when the server has returned
}

func (p peer) read() (*dns.Msg, error) {
	var b []byte
	var err error
	if p.stream {
		b, err = readFrame(p)
	} else {
		b = make([]byte, 4096)
		var n int
		n, err = p.Read(b)
		b = b[:n]
	}
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	return m, m.Unpack(b)
}

// write sends a message; when the asker has gone it is lost.
func (p peer) write(m *dns.Msg) error {
	b, err := m.Pack()
	if err != nil {
		return err
	}
	if p.stream {
		return writeFrame(p, b)
	}
	_, err = p.Write(b)
	return err
}

// inBubble runs a test with servers in memory.
func inBubble(t *testing.T, list []string, f func(*serversTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var running sync.WaitGroup
		s := &serversTest{t: t, net: make(map[string]func(peer)), made: make(map[string]int)}
		var ups []Upstream
		for _, x := range list {
			up, err := ParseUpstream(x)
			if err != nil {
				t.Fatal(err)
			}
			ups = append(ups, up)
		}
		s.list = ups
		s.up = newUpstreams(func() servers { return servers{s.list, queryTimeout, queryTries} }, &running)
		s.up.dial = s.dial
		f(s)
		s.wg.Wait()
		s.up.close()
		running.Wait()
		s.ends.Wait()
	})
}

func (s *serversTest) dial(_ context.Context, network, addr string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	where := network + " " + addr
	s.made[where]++
	serve := s.net[where]
	if serve == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	s.ends.Go(func() { // ends when near is closed
		defer far.Close()
		serve(peer{far, network == "tcp", &s.ends})
	})
	return near, nil
}

// serve puts a server at an address, such as "udp 192.0.2.1:53"; nil: nobody
// listens there any more.
func (s *serversTest) serve(where string, f func(peer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.net[where] = f
}

// answering makes a server of what answers one question.
func answering(f func(q *dns.Msg, p peer)) func(peer) {
	return func(p peer) {
		for {
			q, err := p.read()
			if err != nil {
				return
			}
			f(q, p)
		}
	}
}

// after answers with an address after some time, out of turn.
func after(d time.Duration, a string) func(peer) {
	return answering(func(q *dns.Msg, p peer) {
		p.ends.Go(func() { // ends after d
			time.Sleep(d) // in the bubble's time
			_ = p.write(addressed(q, a))
		})
	})
}

func silent(p peer) { answering(func(*dns.Msg, peer) {})(p) }

// addressed answers a query with an address.
func addressed(q *dns.Msg, a string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.SetEdns0(ednsSize, false)
	rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A " + a)
	if err != nil {
		panic(err)
	}
	m.Answer = append(m.Answer, rr)
	return m
}

// An outcome is what came of a question, and when.
type outcome struct {
	addr string // the address in the answer
	up   Upstream
	err  error
	took time.Duration
}

func (o outcome) String() string {
	if o.err != nil {
		return fmt.Sprintf("%v after %v", o.err, o.took)
	}
	return fmt.Sprintf("%s from %v after %v", o.addr, o.up, o.took)
}

// ask asks for the address of a name.
func (s *serversTest) ask(name string) (o outcome) {
	start := time.Now()
	m, up, err := s.up.exchange(s.t.Context(), dns.Fqdn(name), dns.TypeA, 0)
	o = outcome{up: up, err: err, took: time.Since(start)}
	if err == nil && len(m.Answer) == 1 {
		o.addr = m.Answer[0].(*dns.A).A.String()
	}
	return o
}

// goAsk is ask in the background; the test waits for it at its end.
func (s *serversTest) goAsk(name string) <-chan outcome {
	out := make(chan outcome, 1)
	s.wg.Go(func() { out <- s.ask(name) })
	return out
}

// want checks the outcome of a question: what answers, and within which time.
func (s *serversTest) want(why, name, addr string, most time.Duration) {
	s.t.Helper()
	if o := s.ask(name); o.err != nil || o.addr != addr || o.took > most {
		s.t.Errorf("%s: %v, want %s within %v", why, o, addr, most)
	}
}

// wantFailure checks that a question fails, how, and within which time.
func (s *serversTest) wantFailure(why, name string, kind error, most time.Duration) outcome {
	s.t.Helper()
	o := s.ask(name)
	if !errors.Is(o.err, kind) || o.took > most {
		s.t.Errorf("%s: %v, want %v within %v", why, o, kind, most)
	}
	return o
}

// wantMade checks how many connections, or sockets, there were.
func (s *serversTest) wantMade(why, where string, n int) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.made[where]; got != n {
		s.t.Errorf("%s: %d of %s, want %d", why, got, where, n)
	}
}

// kept returns how many streams are kept.
func (s *serversTest) kept() int {
	s.up.mu.Lock()
	defer s.up.mu.Unlock()
	return len(s.up.streams)
}
