package noid

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

var twoServers = []string{"udp://192.0.2.1", "udp://192.0.2.2"}

// The second server is asked when the first is slow or fails, and comes first
// for a while where the first did not answer what it did.
func TestHedging(t *testing.T) {
	inBubble(t, twoServers, func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", after(10*time.Millisecond, "9.0.0.1"))
		s.serve("udp 192.0.2.2:53", after(10*time.Millisecond, "9.0.0.2"))
		s.want("both are there", "a.example", "9.0.0.1", 10*time.Millisecond)
		s.wantMade("the second is not asked", "udp 192.0.2.2:53", 0)

		s.serve("udp 192.0.2.1:53", nil)
		s.want("the first is not there", "a.example", "9.0.0.2", 10*time.Millisecond)
		s.want("it comes last now", "a.example", "9.0.0.2", 10*time.Millisecond)
		s.wantMade("and is not asked", "udp 192.0.2.1:53", 2)

		s.serve("udp 192.0.2.1:53", silent)
		time.Sleep(penalty)
		s.want("the first is silent", "a.example", "9.0.0.2", hedgeDelay+10*time.Millisecond)
		s.want("it comes last now", "a.example", "9.0.0.2", 10*time.Millisecond)
		s.wantMade("and is not asked", "udp 192.0.2.1:53", 3)

		s.serve("udp 192.0.2.1:53", after(10*time.Millisecond, "9.0.0.1"))
		time.Sleep(penalty)
		s.want("it is back", "a.example", "9.0.0.1", 10*time.Millisecond)

		s.serve("udp 192.0.2.2:53", silent)
		s.serve("udp 192.0.2.1:53", after(400*time.Millisecond, "9.0.0.1"))
		s.want("slower than the hedge", "a.example", "9.0.0.1", 400*time.Millisecond)
	})
}

// A query is sent again, from another socket with another id.
func TestRetransmission(t *testing.T) {
	inBubble(t, twoServers[:1], func(s *serversTest) {
		var mu sync.Mutex
		ids := make(map[uint16]bool)
		s.serve("udp 192.0.2.1:53", answering(func(q *dns.Msg, p peer) {
			mu.Lock()
			defer mu.Unlock()
			ids[q.Id] = true
			if len(ids) == queryTries {
				_ = p.write(addressed(q, "9.0.0.1"))
			}
		}))
		s.want("the third gets through", "a.example", "9.0.0.1", 2*queryTimeout)
		s.wantMade("a socket for each", "udp 192.0.2.1:53", queryTries)

		s.serve("udp 192.0.2.1:53", silent)
		s.wantFailure("nobody answers", "a.example", ErrTimeout, queryTries*queryTimeout)
	})
}

// Where every answer takes longer than the wait for it, as over a satellite,
// names are found all the same, however many at once.
func TestSlowAnswers(t *testing.T) {
	inBubble(t, twoServers[:1], func(s *serversTest) {
		const slow = queryTimeout + queryTimeout/2
		s.serve("udp 192.0.2.1:53", after(slow, "9.0.0.1"))
		s.want("one", "a.example", "9.0.0.1", slow)
		var all []<-chan outcome
		for i := range maxZoneQueries + maxZoneWaiting {
			all = append(all, s.goAsk(fmt.Sprintf("%d.a.example", i)))
		}
		for _, c := range all {
			if o := <-c; o.addr != "9.0.0.1" {
				t.Error(o)
			}
		}
	})
}

// The answer of a server that fails is passed over for that of another; what
// the failure of all of them says most is reported.
func TestServerFailures(t *testing.T) {
	failing := func(rcode int, code uint16) func(peer) {
		return answering(func(q *dns.Msg, p peer) {
			m := new(dns.Msg)
			m.SetRcode(q, rcode)
			m.SetEdns0(ednsSize, false)
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: "a\nb"})
			_ = p.write(m)
		})
	}
	inBubble(t, twoServers, func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", failing(dns.RcodeServerFailure, dns.ExtendedErrorCodeDNSBogus))
		s.serve("udp 192.0.2.2:53", after(0, "9.0.0.2"))
		s.want("the second has an answer", "a.example", "9.0.0.2", 0)
		s.serve("udp 192.0.2.2:53", nil)
		o := s.wantFailure("one fails, one is not there", "a.example", ErrServer, 0)
		if errors.Is(o.err, ErrBogus) || !strings.Contains(o.err.Error(), `SERVFAIL, extended error 6 DNSSEC Bogus "a?b" from 192.0.2.1:53`) {
			t.Error(o.err)
		}
	})
	// Who is believed when he validates is believed when it fails: who does not
	// validate is not asked instead.
	inBubble(t, []string{"udp://127.0.0.1", "udp://192.0.2.2"}, func(s *serversTest) {
		s.list[0].TrustAD = true
		s.serve("udp 127.0.0.1:53", failing(dns.RcodeServerFailure, dns.ExtendedErrorCodeSignatureExpired))
		s.serve("udp 192.0.2.2:53", after(0, "9.0.0.2"))
		s.wantFailure("the answer is bogus", "a.example", ErrBogus, 0)
		s.wantMade("nobody else is asked", "udp 192.0.2.2:53", 0)
		s.serve("udp 127.0.0.1:53", failing(dns.RcodeServerFailure, dns.ExtendedErrorCodeNoReachableAuthority))
		s.want("a failure of another kind", "a.example", "9.0.0.2", 0)
	})
}

// What goes to some servers in secret goes to others in clear only when all of
// those have failed, and whatever the order.
func TestSecretServersComeFirst(t *testing.T) {
	inBubble(t, []string{"udp://192.0.2.1", "tls://192.0.2.2#dns.example", "tls://192.0.2.3#dns.example"}, func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", after(0, "9.0.0.1"))
		s.serve("tcp 192.0.2.2:853", silent) // not even a handshake
		s.serve("tcp 192.0.2.3:853", silent)
		c := s.goAsk("a.example")
		time.Sleep(streamTries*streamTimeout - time.Millisecond)
		s.wantMade("they may yet answer", "udp 192.0.2.1:53", 0)
		if o := <-c; o.addr != "9.0.0.1" {
			t.Error(o)
		}
		s.want("they come last now", "a.example", "9.0.0.1", 0)
	})
}

// A server from before EDNS is asked without.
func TestWithoutEDNS(t *testing.T) {
	inBubble(t, twoServers[:1], func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", answering(func(q *dns.Msg, p peer) {
			m := addressed(q, "9.0.0.1")
			m.Extra = nil
			if q.IsEdns0() != nil {
				m.SetRcode(q, dns.RcodeFormatError)
			}
			_ = p.write(m)
		}))
		s.want("FORMERR", "a.example", "9.0.0.1", 0)
	})
}

// Names that nobody answers for keep no other from being found: their zone has
// its share of what is under way, and what has waited long gives way.
func TestSilentNames(t *testing.T) {
	inBubble(t, twoServers[:1], func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", answering(func(q *dns.Msg, p peer) {
			if !strings.Contains(strings.ToLower(q.Question[0].Name), "silent") {
				_ = p.write(addressed(q, "9.0.0.1"))
			}
		}))
		for i := range maxZoneWaiting {
			s.goAsk(fmt.Sprintf("%d.x.SILENT.example", i))
			s.goAsk(fmt.Sprintf("%d.y.silent.example", i))
			s.goAsk(fmt.Sprintf("silent.%d.9.in-addr.arpa", i))
		}
		synctest.Wait()
		s.wantMade("the shares of two zones", "udp 192.0.2.1:53", 2*maxZoneQueries)
		s.want("another zone", "a.example", "9.0.0.1", 0)
		s.want("the zone itself", "silence.example", "9.0.0.1", 0)
	})
	// As many silent zones as there is room for.
	inBubble(t, twoServers[:1], func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", answering(func(q *dns.Msg, p peer) {
			if !strings.Contains(strings.ToLower(q.Question[0].Name), "silent") {
				_ = p.write(addressed(q, "9.0.0.1"))
			}
		}))
		for i := range maxQueries {
			s.goAsk(fmt.Sprintf("a.silent%d.example", i))
		}
		synctest.Wait()
		s.wantMade("all slots", "udp 192.0.2.1:53", maxQueries)
		s.want("after the patience", "a.example", "9.0.0.1", slotPatience)
		s.want("one has given way", "b.example", "9.0.0.1", 0)
	})
}

// Who gives way, and who waits in vain, is told so.
func TestSlotsAreBounded(t *testing.T) {
	inBubble(t, twoServers[:1], func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", silent)
		first := s.goAsk("first.silent.example")
		synctest.Wait()
		for i := range maxZoneQueries + maxZoneWaiting - 1 {
			s.goAsk(fmt.Sprintf("%d.silent.example", i))
		}
		synctest.Wait()
		if o := s.wantFailure("no place to wait", "x.silent.example", ErrLimit, 0); !strings.Contains(o.err.Error(), "too many questions wait") {
			t.Error(o.err)
		}
		if o := <-first; !errors.Is(o.err, ErrTimeout) || o.took != slotPatience || !strings.Contains(o.err.Error(), "gave way") {
			t.Error(o)
		}
	})
	// A zone that has its share does not push others out.
	inBubble(t, twoServers[:1], func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", silent)
		other := s.goAsk("a.other.example")
		time.Sleep(slotPatience + 1)
		for i := range maxZoneQueries + 1 {
			s.goAsk(fmt.Sprintf("%d.silent.example", i))
		}
		if o := <-other; !errors.Is(o.err, ErrTimeout) || o.took != queryTries*queryTimeout {
			t.Error(o)
		}
	})
	for name, share := range map[string]string{"example.": "example.", "a.example.": "a.example.", "c.B.a.Example.": "a.example.", "1.0.0.9.in-addr.arpa.": "arpa.", ".": "."} {
		if got := shareOf(name); got != share {
			t.Errorf("share of %q: %q, want %q", name, got, share)
		}
	}
}
