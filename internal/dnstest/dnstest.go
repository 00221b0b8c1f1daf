// Package dnstest is a small authoritative DNS server for tests and the demo:
// it serves records from zone text and can be told to be slow, to fail or to
// say nothing.
package dnstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A Server answers over UDP and TCP on one address, and over what else it is
// told to.
type Server struct {
	addr  string
	stops []func() error // what ends each of its listeners
	wg    sync.WaitGroup

	mu      sync.Mutex          // leaf; guards what follows
	records map[string][]dns.RR // by lower-case owner
	faults  map[string]Fault
	asked   map[string]int
	tree    *Tree                        // answers in place of records
	tamper  func(dns.Question, *dns.Msg) // with its answers
}

// A Fault is how questions for a name are answered instead.
type Fault struct {
	Rcode    int           // such as dns.RcodeServerFailure; 0: the usual answer
	Extended uint16        // error of RFC 8914 that goes with it, such as dns.ExtendedErrorCodeDNSBogus
	AD       bool          // it says that it was validated
	Delay    time.Duration // before answering
	Silent   bool          // no answer at all
}

// apply changes an answer.
func (f Fault) apply(m *dns.Msg) {
	m.AuthenticatedData = m.AuthenticatedData || f.AD
	if f.Rcode != 0 {
		m.Answer, m.Rcode = nil, f.Rcode
	}
	if f.Extended != 0 {
		m.SetEdns0(dns.DefaultMsgSize, false)
		opt := m.IsEdns0()
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: f.Extended})
	}
}

// New starts a server on an address, such as "127.0.0.1:0", with records in
// zone file form. Names are absolute or end in the origin that an $ORIGIN line
// gives. Without an address it has no sockets, which bubbles need, and answers
// whoever calls ServeDNS.
func New(addr, zone string) (*Server, error) {
	s := &Server{faults: make(map[string]Fault), asked: make(map[string]int)}
	if err := s.SetZone(zone); err != nil {
		return nil, err
	}
	if addr == "" {
		return s, nil
	}
	pc, l, err := listen(addr)
	if err != nil {
		return nil, err
	}
	s.addr = pc.LocalAddr().String()
	for _, d := range []*dns.Server{{PacketConn: pc, Handler: s}, {Listener: l, Handler: s}} {
		s.start(d)
	}
	return s, nil
}

// start has a listener answer, from when it returns until Close.
func (s *Server) start(d *dns.Server) {
	s.stops = append(s.stops, d.Shutdown)
	started := make(chan struct{})
	d.NotifyStartedFunc = func() { close(started) }
	s.wg.Go(func() { _ = d.ActivateAndServe() }) // ends when Close shuts it down
	<-started
}

// listen opens both sockets on one port.
func listen(addr string) (pc net.PacketConn, l net.Listener, err error) {
	for range 16 { // a UDP port that is free is rarely taken for TCP
		if pc, err = net.ListenPacket("udp", addr); err != nil {
			return nil, nil, err
		}
		if l, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			return pc, l, nil
		}
		pc.Close()
	}
	return nil, nil, err
}

// Addr returns the server's address and port.
func (s *Server) Addr() string { return s.addr }

// Close stops the server.
func (s *Server) Close() error {
	var all []error
	for _, stop := range s.stops {
		all = append(all, stop())
	}
	s.wg.Wait()
	return errors.Join(all...)
}

// SetZone replaces all records.
func (s *Server) SetZone(zone string) error {
	records := make(map[string][]dns.RR)
	p := dns.NewZoneParser(strings.NewReader(zone), "", "zone")
	p.SetDefaultTTL(60)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		owner := strings.ToLower(rr.Header().Name)
		records[owner] = append(records[owner], rr)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("zone: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = records
	return nil
}

// SetFault has questions for a name answered with a fault; the zero Fault
// ends that.
func (s *Server) SetFault(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[strings.ToLower(dns.Fqdn(name))] = f
}

// Asked returns how many questions came for a name and type.
func (s *Server) Asked(name string, qtype uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[key(name, qtype)]
}

// Total returns how many questions came.
func (s *Server) Total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.asked {
		n += c
	}
	return n
}

func key(name string, qtype uint16) string {
	return strings.ToLower(dns.Fqdn(name)) + " " + dns.TypeToString[qtype]
}

// ServeDNS answers one question.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := s.respond(context.Background(), q)
	if m == nil {
		return
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m) // the asker has gone: nothing to do
}

// answer fills in the records for a question, aliases followed.
func (s *Server) answer(m *dns.Msg, q dns.Question) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[key(q.Name, q.Qtype)]++
	if s.tree != nil {
		s.plant(m, q)
		return s.faults[strings.ToLower(q.Name)]
	}
	owner := strings.ToLower(q.Name)
	for range 16 {
		all, exists := s.records[owner]
		if !exists && len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		next := ""
		for _, rr := range all {
			switch t := rr.Header().Rrtype; {
			case t == q.Qtype:
				m.Answer = append(m.Answer, rr)
			case t == dns.TypeCNAME:
				m.Answer = append(m.Answer, rr)
				next = strings.ToLower(rr.(*dns.CNAME).Target)
			}
		}
		if next == "" {
			break
		}
		owner = next
	}
	return s.faults[strings.ToLower(q.Name)]
}
