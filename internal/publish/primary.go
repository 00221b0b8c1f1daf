package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid"
)

// exchangeTime is how long a server may take for one answer.
const exchangeTime = 5 * time.Second

// fudge is how far the clocks of both ends may differ, in seconds: what RFC
// 8945 section 10 recommends.
const fudge = 300

// A Primary is the server that takes updates of a zone.
type Primary struct {
	Addr netip.AddrPort
	Zone string
	Key  *Key // nil: updates are not signed, and neither are the answers

	now func() time.Time // nil: time.Now
}

// FindZone asks a server which of its zones a name is in: the longest one that
// it has authority for.
func FindZone(ctx context.Context, server netip.AddrPort, key *Key, n noid.Name) (*Primary, error) {
	p := &Primary{Addr: server, Key: key}
	for zone := string(n); zone != ""; {
		m, err := p.query(ctx, zone, dns.TypeSOA)
		if err != nil {
			return nil, err
		}
		if m.Authoritative {
			for _, rr := range m.Answer {
				if soa, ok := rr.(*dns.SOA); ok && strings.EqualFold(soa.Hdr.Name, zone) {
					p.Zone = zone
					return p, nil
				}
			}
		}
		_, parent, ok := strings.Cut(zone, ".")
		if !ok || parent == "" {
			break
		}
		zone = parent
	}
	return nil, fmt.Errorf("%v has no zone that %v is in: name the zone's primary server with --server", server, n)
}

// Locate finds the primary server of a name's zone by the zone's own records.
func Locate(ctx context.Context, names *noid.Resolver, key *Key, n noid.Name) (*Primary, error) {
	z, err := names.ZonePrimary(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("look for the server that takes updates: %w: name it with --server", err)
	}
	var all []error
	for _, a := range z.Addrs {
		p, err := FindZone(ctx, netip.AddrPortFrom(a, dnsPort), key, n)
		if err == nil {
			return p, nil
		}
		all = append(all, err)
	}
	return nil, fmt.Errorf("%s, which the zone %s says is its primary: %w", z.Server, z.Zone, errors.Join(all...))
}

const dnsPort = 53

// ParseServer reads ADDRESS or ADDRESS:PORT.
func ParseServer(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a, nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: want ADDRESS or ADDRESS:PORT, such as 192.0.2.53 or [2001:db8::53]:53", s)
	}
	return netip.AddrPortFrom(a, dnsPort), nil
}

// Read reads what is at a name.
func (p *Primary) Read(ctx context.Context, n noid.Name) (*Present, error) {
	have := &Present{}
	service := (&Want{Name: n}).capabilityOwner()
	for _, q := range []struct {
		owner string
		qtype uint16
		to    *[]dns.RR
	}{
		{string(n), dns.TypeA, &have.A},
		{string(n), dns.TypeAAAA, &have.AAAA},
		{service, dns.TypeSVCB, &have.SVCB},
		{service, dns.TypeTXT, &have.TXT},
	} {
		m, err := p.query(ctx, q.owner, q.qtype)
		if err != nil {
			return nil, err
		}
		if !m.Authoritative {
			return nil, fmt.Errorf("%v has no authority for %s: another server has, name the zone's primary with --server", p.Addr, q.owner)
		}
		for _, rr := range m.Answer {
			switch h := rr.Header(); {
			case !strings.EqualFold(h.Name, q.owner):
			case h.Rrtype == dns.TypeCNAME:
				return nil, fmt.Errorf("%s is an alias of %s, and nothing can be published beside an alias: publish that name, or remove the CNAME record", q.owner, rr.(*dns.CNAME).Target)
			case h.Rrtype == q.qtype:
				*q.to = append(*q.to, rr)
			}
		}
		if len(*q.to) > maxRecords {
			return nil, fmt.Errorf("%s has %d %s records, and no more than %d can be kept current: remove those that nobody needs", q.owner, len(*q.to), dns.TypeToString[q.qtype], maxRecords)
		}
	}
	return have, nil
}

// maxRecords is how many records a set may have: peers look at no more of one,
// and all of them go into each update as its conditions. Somebody who may
// update the name as well could fill it until no update fits into a message.
const maxRecords = 64

// query asks the server one question. What it answers need not be signed: an
// update has it for its condition, and the answer to that is.
func (p *Primary) query(ctx context.Context, owner string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(owner, qtype)
	q.RecursionDesired = false
	m, err := p.exchange(ctx, q)
	step := dns.TypeToString[qtype] + " " + owner
	if err != nil {
		return nil, fmt.Errorf("%s at %v: %w", step, p.Addr, err)
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError && qtype != dns.TypeSOA {
		return nil, fmt.Errorf("%s at %v: %s", step, p.Addr, dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

// exchange sends a message over TCP, which bears every size and leaves no
// doubt whether an update that is not answered has arrived twice (RFC 2136
// section 6.2).
func (p *Primary) exchange(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	c := dns.Client{Net: "tcp", Timeout: exchangeTime}
	if q.IsTsig() != nil {
		c.TsigSecret = map[string]string{p.Key.Name: p.Key.secret}
	}
	conn, err := c.DialContext(ctx, p.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("no connection over TCP: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Conn.Close() }) // the library does not watch ctx while it reads
	defer stop()
	m, _, err := c.ExchangeWithConnContext(ctx, q, conn)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("no answer within %v", exchangeTime)
	}
	return m, err
}

// Send carries a plan out: all of it, or nothing.
func (p *Primary) Send(ctx context.Context, plan *Plan) error {
	m := plan.message()
	now := time.Now
	if p.now != nil {
		now = p.now
	}
	if p.Key != nil {
		m.SetTsig(p.Key.Name, p.Key.Algorithm, fudge, now().Unix())
	}
	answer, err := p.exchange(ctx, m)
	return p.judge(answer, err, now())
}

// Publish brings the server to what is wanted and returns the plan that did:
// an empty one sent nothing. When somebody else changes the name at the same
// time all is read again, a few times.
func (p *Primary) Publish(ctx context.Context, want *Want) (plan *Plan, err error) {
	for i := range attempts {
		if i > 0 {
			pauseAtRandom(ctx, firstPause<<i)
		}
		if plan, err = p.Plan(ctx, want); err != nil || plan.Empty() {
			return plan, err
		}
		if err = p.Send(ctx, plan); !errors.Is(err, ErrChanged) {
			break
		}
	}
	return plan, err
}

const (
	// attempts is how often a plan is made because the zone has changed
	// meanwhile. Of the hosts that write at once one is through each time; who
	// changes the name without end must not keep this host at it.
	attempts = 6

	// firstPause is the beginning of the pauses between attempts, which are
	// random and grow: hosts that have met once must not meet again.
	firstPause = 10 * time.Millisecond
)

// pauseAtRandom waits for less than a time, or until ctx ends.
func pauseAtRandom(ctx context.Context, less time.Duration) {
	timer := time.NewTimer(rand.N(less))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Plan reads what is at a name and finds out what to change.
func (p *Primary) Plan(ctx context.Context, want *Want) (*Plan, error) {
	have, err := p.Read(ctx, want.Name)
	if err != nil {
		return nil, err
	}
	return NewPlan(p.Zone, have, want)
}
