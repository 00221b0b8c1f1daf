package dnstest

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
)

// A Primary is a server that takes dynamic updates of its zone (RFC 2136) from
// those who have a key (RFC 8945).
type Primary struct {
	*Server
	zone     string
	updates  atomic.Int32
	refusal  atomic.Int32
	unsigned atomic.Bool
}

// NewPrimary starts a server as New does, for the zone of a name. keys are
// secrets in base64 by the absolute name of the key.
func NewPrimary(addr, zone, records string, keys map[string]string) (*Primary, error) {
	p := &Primary{
		Server: &Server{faults: make(map[string]Fault), asked: make(map[string]int)},
		zone:   dns.CanonicalName(zone),
	}
	if err := p.SetZone(records); err != nil {
		return nil, err
	}
	pc, l, err := listen(addr)
	if err != nil {
		return nil, err
	}
	p.addr = pc.LocalAddr().String()
	for _, d := range []*dns.Server{{PacketConn: pc}, {Listener: l}} {
		d.Handler, d.TsigSecret = p, keys
		d.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept } // the library's own takes no updates
		p.start(d)
		p.stops = append(p.stops, d.Shutdown)
	}
	return p, nil
}

// Updates returns how many updates were carried out.
func (p *Primary) Updates() int { return int(p.updates.Load()) }

// Refuse has all further updates answered with a code; 0 ends that.
func (p *Primary) Refuse(rcode int) { p.refusal.Store(int32(rcode)) }

// LeaveUnsigned has answers to signed updates go without a signature.
func (p *Primary) LeaveUnsigned(on bool) { p.unsigned.Store(on) }

// Records returns the records of a name and type in text form, sorted.
func (p *Primary) Records(name string, qtype uint16) (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rr := range p.records[dns.CanonicalName(name)] {
		if rr.Header().Rrtype == qtype {
			out = append(out, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	slices.Sort(out)
	return out
}

// ServeDNS answers questions as any server does, and carries updates out.
func (p *Primary) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	if q.Opcode != dns.OpcodeUpdate {
		p.Server.ServeDNS(w, q)
		return
	}
	m := new(dns.Msg)
	m.SetReply(q)
	t := q.IsTsig()
	if t != nil && !p.unsigned.Load() {
		m.SetTsig(t.Hdr.Name, t.Algorithm, t.Fudge, int64(t.TimeSigned))
	}
	switch {
	case t == nil:
		m.Rcode = dns.RcodeRefused
	case w.TsigStatus() != nil:
		m.Rcode = dns.RcodeNotAuth
		m.IsTsig().Error = tsigError(w.TsigStatus())
	case p.refusal.Load() != 0:
		m.Rcode = int(p.refusal.Load())
	default:
		m.Rcode = p.update(q)
	}
	_ = w.WriteMsg(m) // the asker has gone: nothing to do
}

// tsigError is the code for what is wrong with a signature (RFC 8945 section
// 5.2).
func tsigError(err error) uint16 {
	switch {
	case errors.Is(err, dns.ErrSecret):
		return dns.RcodeBadKey
	case errors.Is(err, dns.ErrTime):
		return dns.RcodeBadTime
	}
	return dns.RcodeBadSig
}

// update carries an update out, all of it or nothing (RFC 2136 section 3).
func (p *Primary) update(q *dns.Msg) (rcode int) {
	if len(q.Question) != 1 || q.Question[0].Qtype != dns.TypeSOA {
		return dns.RcodeFormatError
	}
	if dns.CanonicalName(q.Question[0].Name) != p.zone {
		return dns.RcodeNotAuth
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if rcode := p.prerequisites(q.Answer); rcode != dns.RcodeSuccess {
		return rcode
	}
	for _, rr := range q.Ns {
		if !dns.IsSubDomain(p.zone, rr.Header().Name) {
			return dns.RcodeNotZone
		}
	}
	for _, rr := range q.Ns {
		p.change(rr)
	}
	p.updates.Add(1)
	return dns.RcodeSuccess
}

// prerequisites checks the conditions of an update (section 3.2). Those about
// a whole name are not told apart from failures.
func (p *Primary) prerequisites(conditions []dns.RR) (rcode int) {
	type set struct {
		owner string
		qtype uint16
	}
	wanted := make(map[set][]dns.RR)
	for _, rr := range conditions {
		h := rr.Header()
		s := set{dns.CanonicalName(h.Name), h.Rrtype}
		exists := slices.ContainsFunc(p.records[s.owner], ofType(s.qtype))
		switch h.Class {
		case dns.ClassANY:
			if !exists {
				return dns.RcodeNXRrset
			}
		case dns.ClassNONE:
			if exists {
				return dns.RcodeYXRrset
			}
		case dns.ClassINET:
			wanted[s] = append(wanted[s], rr)
		default:
			return dns.RcodeFormatError
		}
	}
	for s, want := range wanted {
		have := slices.DeleteFunc(slices.Clone(p.records[s.owner]), func(rr dns.RR) bool { return !ofType(s.qtype)(rr) })
		missing := func(rr dns.RR) bool {
			return !slices.ContainsFunc(have, func(x dns.RR) bool { return dns.IsDuplicate(x, rr) })
		}
		if len(have) != len(want) || slices.ContainsFunc(want, missing) {
			return dns.RcodeNXRrset
		}
	}
	return dns.RcodeSuccess
}

func ofType(t uint16) func(dns.RR) bool {
	return func(rr dns.RR) bool { return rr.Header().Rrtype == t }
}

// change adds a record or removes it, a set or all of a name (section 3.4.2).
func (p *Primary) change(rr dns.RR) {
	h := rr.Header()
	owner := dns.CanonicalName(h.Name)
	class := h.Class
	gone := func(x dns.RR) bool {
		switch class {
		case dns.ClassANY:
			return h.Rrtype == dns.TypeANY || ofType(h.Rrtype)(x)
		}
		y := dns.Copy(rr)
		y.Header().Class = x.Header().Class
		return dns.IsDuplicate(x, y)
	}
	left := slices.DeleteFunc(slices.Clone(p.records[owner]), gone)
	aliased := slices.ContainsFunc(left, ofType(dns.TypeCNAME))
	if class == dns.ClassINET && (!aliased || h.Rrtype == dns.TypeCNAME) {
		for i, x := range left {
			if ofType(h.Rrtype)(x) { // a set has one TTL (RFC 2181 section 5.2)
				left[i] = dns.Copy(x)
				left[i].Header().Ttl = h.Ttl
			}
		}
		left = append(left, rr)
	}
	if len(left) == 0 {
		delete(p.records, owner)
		return
	}
	p.records[owner] = left
}
