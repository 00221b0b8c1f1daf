package noid

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Packets that are not the answer to the question, as it was asked, are as if
// they had not come: RFC 5452 section 9.1.
func TestStrays(t *testing.T) {
	strays := map[string]func(q *dns.Msg) *dns.Msg{
		"another id":    func(q *dns.Msg) *dns.Msg { q.Id++; return addressed(q, "9.6.6.6") },
		"another name":  func(q *dns.Msg) *dns.Msg { q.Question[0].Name = "b.example."; return addressed(q, "9.6.6.6") },
		"another type":  func(q *dns.Msg) *dns.Msg { q.Question[0].Qtype = dns.TypeAAAA; return addressed(q, "9.6.6.6") },
		"another class": func(q *dns.Msg) *dns.Msg { q.Question[0].Qclass = dns.ClassCHAOS; return addressed(q, "9.6.6.6") },
		"no question":   func(q *dns.Msg) *dns.Msg { m := addressed(q, "9.6.6.6"); m.Question = nil; return m },
		"two questions": func(q *dns.Msg) *dns.Msg {
			m := addressed(q, "9.6.6.6")
			m.Question = append(m.Question, m.Question[0])
			return m
		},
		"a query":  func(q *dns.Msg) *dns.Msg { m := addressed(q, "9.6.6.6"); m.Response = false; return m },
		"a NOTIFY": func(q *dns.Msg) *dns.Msg { m := addressed(q, "9.6.6.6"); m.Opcode = dns.OpcodeNotify; return m },
	}
	for name, stray := range strays {
		t.Run(name, func(t *testing.T) {
			inBubble(t, twoServers[:1], func(s *serversTest) {
				s.serve("udp 192.0.2.1:53", answering(func(q *dns.Msg, p peer) {
					_ = p.write(stray(q.Copy()))
					_, _ = p.Write([]byte("no DNS"))
					_ = p.write(addressed(q, "9.0.0.1"))
				}))
				s.want("the answer behind it", "a.example", "9.0.0.1", 0)
			})
		})
	}
}

// Who sends many of them, or one when no answer comes, is taken for an
// attacker off the path, who cannot put a word in over TCP: RFC 5452
// section 9.3.
func TestStraysLeadToTCP(t *testing.T) {
	for n, most := range map[int]time.Duration{1: queryTimeout, maxStrays: 0} {
		inBubble(t, twoServers[:1], func(s *serversTest) {
			s.serve("udp 192.0.2.1:53", answering(func(q *dns.Msg, p peer) {
				q.Id++
				for range n {
					_ = p.write(addressed(q, "9.6.6.6"))
				}
			}))
			s.serve("tcp 192.0.2.1:53", after(0, "9.0.0.1"))
			s.want("over TCP", "a.example", "9.0.0.1", most)
			s.wantMade("one packet is enough", "udp 192.0.2.1:53", 1)
		})
	}
}

// An answer that does not fit comes over TCP, whatever its length.
func TestTruncation(t *testing.T) {
	inBubble(t, twoServers[:1], func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", answering(func(q *dns.Msg, p peer) {
			if n := q.IsEdns0().UDPSize(); n != ednsSize {
				t.Errorf("%d octets are asked for", n)
			}
			m := addressed(q, "9.6.6.6")
			m.Truncated = true
			_ = p.write(m)
		}))
		s.serve("tcp 192.0.2.1:53", answering(func(q *dns.Msg, p peer) {
			m := addressed(q, "9.0.0.1")
			text := strings.Repeat("x", 255)
			for m.Len() < dns.MaxMsgSize-300 {
				m.Extra = append(m.Extra, &dns.TXT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{text}})
			}
			_ = p.write(m)
		}))
		s.want("64 KiB", "a.example", "9.0.0.1", 0)
		s.want("and again", "b.example", "9.0.0.1", 0)
		s.wantMade("over one connection", "tcp 192.0.2.1:53", 1)
		s.serve("tcp 192.0.2.1:53", nil)
		time.Sleep(streamIdle + time.Second)
		s.wantFailure("there is no TCP", "a.example", ErrTimeout, 0)
	})
}

// What validation needs is in the query, and only then.
func TestQueryFlags(t *testing.T) {
	inBubble(t, twoServers[:1], func(s *serversTest) {
		var q dns.Msg
		s.serve("udp 192.0.2.1:53", answering(func(m *dns.Msg, p peer) {
			q = *m
			_ = p.write(addressed(m, "9.0.0.1"))
		}))
		for flags, want := range map[queryFlags][2]bool{0: {}, withDO: {true, false}, withDO | withCD: {true, true}} {
			if _, _, err := s.up.exchange(s.t.Context(), "a.example.", dns.TypeA, flags); err != nil {
				t.Fatal(err)
			}
			if got := [2]bool{q.IsEdns0().Do(), q.CheckingDisabled}; got != want || !q.AuthenticatedData || !q.RecursionDesired {
				t.Errorf("%b: DO and CD %v, want %v, in %v", flags, got, want, &q)
			}
		}
	})
}

// FuzzAnswer feeds packets to what decides whether they answer a question.
func FuzzAnswer(f *testing.F) {
	q := newQuery("a.example.", dns.TypeA, 0)
	q.Id = 1
	seed, err := addressed(q, "9.0.0.1").Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := unpack(b, q, 1)
		if err != nil {
			return
		}
		if !m.Response || m.Id != 1 || !strings.EqualFold(m.Question[0].Name, "a.example.") {
			t.Errorf("%v is taken", m)
		}
		if n := len(extended(m)); n > maxExtended {
			t.Errorf("%d errors", n)
		}
		for i := range len(rcodeText(m)) {
			if c := rcodeText(m)[i]; c < ' ' || c > '~' {
				t.Fatalf("%q is not for a log", rcodeText(m))
			}
		}
	})
}
