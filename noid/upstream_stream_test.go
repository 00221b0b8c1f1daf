package noid

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var overTCP = []string{"tcp://192.0.2.1"}

// Questions go over one connection and do not wait for one another (RFC 7766
// section 6.2.1.1), and it is kept for a while.
func TestPipelining(t *testing.T) {
	inBubble(t, overTCP, func(s *serversTest) {
		s.serve("tcp 192.0.2.1:53", func(p peer) {
			first, err := p.read()
			for n := 0; err == nil; n++ {
				var q *dns.Msg
				if q, err = p.read(); err == nil {
					_ = p.write(addressed(q, "9.0.0.2"))
				}
				if n == 9 {
					_ = p.write(addressed(first, "9.0.0.1"))
				}
			}
		})
		slow := s.goAsk("slow.example")
		time.Sleep(time.Millisecond)
		for i := range 9 {
			s.want("overtakes", fmt.Sprintf("%d.example", i), "9.0.0.2", 0)
		}
		s.want("the last", "9.example", "9.0.0.2", 0)
		if o := <-slow; o.addr != "9.0.0.1" {
			t.Error(o)
		}
		time.Sleep(streamIdle - time.Second)
		s.want("it is kept", "b.example", "9.0.0.2", 0)
		s.wantMade("one connection", "tcp 192.0.2.1:53", 1)
		time.Sleep(streamIdle + time.Second)
		if n := s.kept(); n != 0 {
			t.Errorf("%d connections are kept", n)
		}
	})
}

// A server that closes a connection which it has kept long enough is asked
// over another, at once (RFC 7766 section 6.2.4).
func TestKeptConnectionEnds(t *testing.T) {
	inBubble(t, overTCP, func(s *serversTest) {
		s.serve("tcp 192.0.2.1:53", func(p peer) {
			q, err := p.read()
			if err != nil {
				return
			}
			_ = p.write(addressed(q, "9.0.0.1"))
			_, _ = p.read() // and closes on the next question
		})
		for n := range 3 {
			s.want("another connection", "a.example", "9.0.0.1", 0)
			s.wantMade("each is good for one question", "tcp 192.0.2.1:53", n+1)
		}
		s.serve("tcp 192.0.2.1:53", func(p peer) { _, _ = p.read() })
		s.wantFailure("it never answers", "a.example", ErrTimeout, 0)
		s.serve("tcp 192.0.2.1:53", nil)
		s.wantFailure("it is not there", "a.example", ErrTimeout, 0)
	})
}

// A server that accepts and stays silent, one that does not end its answer and
// one that answers what nobody asked cost streamTimeout a try at most, and the
// next question finds another connection.
func TestHostileStreams(t *testing.T) {
	hostile := map[string]func(peer){
		"silent":      silent,
		"reads not":   func(p peer) { time.Sleep(time.Hour) },
		"never ends":  func(p peer) { trickle(p, 0xff) },
		"no length":   func(p peer) { trickle(p, 0) },
		"other ids":   answering(func(q *dns.Msg, p peer) { flood(p, q, func(m *dns.Msg) { m.Id += 7 }) }),
		"other names": answering(func(q *dns.Msg, p peer) { flood(p, q, func(m *dns.Msg) { m.Question[0].Name = "b.example." }) }),
		"an octet":    answering(func(_ *dns.Msg, p peer) { _, _ = p.Write([]byte{0, 1, 0}) }),
	}
	for name, f := range hostile {
		t.Run(name, func(t *testing.T) {
			inBubble(t, overTCP, func(s *serversTest) {
				s.serve("tcp 192.0.2.1:53", f)
				s.wantFailure("hostile", "a.example", ErrTimeout, streamTries*streamTimeout)
				if n := s.kept(); n > 1 {
					t.Errorf("%d connections", n)
				}
				s.serve("tcp 192.0.2.1:53", after(0, "9.0.0.1"))
				s.want("it behaves again", "a.example", "9.0.0.1", streamTimeout)
			})
		})
	}
}

// trickle sends an octet ever again, each well before anybody loses patience.
func trickle(p peer, b byte) {
	p.ends.Go(func() { _, _ = io.Copy(io.Discard, p) }) // ends with the connection
	for {
		if _, err := p.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func flood(p peer, q *dns.Msg, change func(*dns.Msg)) {
	for {
		m := addressed(q, "9.6.6.6")
		change(m)
		if p.write(m) != nil {
			return
		}
	}
}

// Late answers to questions that another server has answered do no harm.
func TestLateAnswers(t *testing.T) {
	inBubble(t, []string{"tcp://192.0.2.1", "udp://192.0.2.2"}, func(s *serversTest) {
		s.serve("tcp 192.0.2.1:53", after(time.Second, "9.0.0.1"))
		s.serve("udp 192.0.2.2:53", after(0, "9.0.0.2"))
		for range 4 {
			s.want("the other is faster", "a.example", "9.0.0.2", hedgeDelay)
			time.Sleep(time.Second)
			s.up.judge(s.list[0], false)
		}
		s.wantMade("one connection", "tcp 192.0.2.1:53", 1)
	})
}

// Many who ask at once wait for one connection.
func TestOneConnection(t *testing.T) {
	inBubble(t, overTCP, func(s *serversTest) {
		s.serve("tcp 192.0.2.1:53", after(time.Millisecond, "9.0.0.1"))
		var all []<-chan outcome
		for i := range maxQueries {
			all = append(all, s.goAsk(fmt.Sprintf("a.%d.example", i)))
		}
		for _, c := range all {
			if o := <-c; o.addr != "9.0.0.1" {
				t.Error(o)
			}
		}
		s.wantMade("one connection", "tcp 192.0.2.1:53", 1)
	})
}
