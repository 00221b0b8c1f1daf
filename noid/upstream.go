package noid

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// An Upstream is a DNS server that is asked.
type Upstream struct {
	Addr    netip.AddrPort
	TrustAD bool // its AD bit is believed
}

// channel is how trustworthy the way is that the server's answers come.
func (u Upstream) channel(m *dns.Msg) Channel {
	if m.AuthenticatedData && u.TrustAD {
		return ChanAD
	}
	return ChanPlain
}

// ParseUpstream reads "udp://ADDRESS[:PORT]". Servers are given by address:
// a name would have to be looked up first.
func ParseUpstream(s string) (Upstream, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "udp" || u.Host == "" || u.Path != "" {
		return Upstream{}, fmt.Errorf("DNS server %q: want udp://ADDRESS[:PORT], such as udp://192.0.2.53 or udp://[2001:db8::53]:53", s)
	}
	if a, err := netip.ParseAddrPort(u.Host); err == nil {
		return Upstream{Addr: a}, nil
	}
	a, err := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	if err != nil {
		return Upstream{}, fmt.Errorf("DNS server %q: %q is not an IP address", s, u.Host)
	}
	return Upstream{Addr: netip.AddrPortFrom(a, 53)}, nil
}

// SystemUpstreams reads the servers of a resolv.conf.
func SystemUpstreams(file string) ([]Upstream, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseResolvConf(f), nil
}

// maxUpstreams is how many servers of a resolv.conf are used, as in libc.
const maxUpstreams = 3

// parseResolvConf reads nameserver lines and the trust-ad option, which says
// that the way to the servers is trusted (glibc 2.31).
func parseResolvConf(r io.Reader) (ups []Upstream) {
	trust := false
	for lines := bufio.NewScanner(r); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(words[1]); err == nil && len(ups) < maxUpstreams {
				ups = append(ups, Upstream{Addr: netip.AddrPortFrom(a, 53)})
			}
		case "options":
			for _, o := range words[1:] {
				trust = trust || o == "trust-ad"
			}
		}
	}
	for i := range ups {
		ups[i].TrustAD = trust
	}
	return ups
}

// upstreams are the DNS servers of a resolver, and how much they are asked at
// once.
type upstreams struct {
	list     []Upstream
	slots    chan struct{} // one for each query under way
	reverses chan struct{} // one for each of a reverse record
	running  *sync.WaitGroup
}

func newUpstreams(list []Upstream, running *sync.WaitGroup) *upstreams {
	return &upstreams{list: list, slots: make(chan struct{}, maxQueries), reverses: make(chan struct{}, maxReverse), running: running}
}

// queryFlags are the bits of a query that validation needs (RFC 4035).
type queryFlags uint8

const (
	withDO queryFlags = 1 << iota // have the records of DNSSEC sent along (section 3.2.1)
	withCD                        // have the answer sent even if it is bogus for the server (section 3.2.2)
)

// exchange asks the upstreams one question: the first at once, each further
// one after hedgeDelay or as soon as those before have failed. The first
// useful answer wins.
func (u *upstreams) exchange(ctx context.Context, name string, qtype uint16, flags queryFlags) (*dns.Msg, Upstream, error) {
	step := dns.TypeToString[qtype] + " " + name
	if len(u.list) == 0 {
		return nil, Upstream{}, &Error{Step: step, Kind: ErrTimeout, Detail: "no DNS server is configured"}
	}
	slots := u.slots
	if qtype == dns.TypePTR {
		slots = u.reverses
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, Upstream{}, &Error{Step: step, Kind: ErrLimit, Detail: "too many queries are under way"}
	}
	ctx, cancel := context.WithTimeout(ctx, answerBudget)
	defer cancel()
	type reply struct {
		msg *dns.Msg
		up  Upstream
		err error
	}
	replies := make(chan reply, len(u.list))
	next, waiting := 0, 0
	ask := func() {
		up := u.list[next]
		next++
		waiting++
		u.running.Go(func() { // ends with ctx at the latest
			m, err := query(ctx, name, qtype, flags, up)
			replies <- reply{m, up, err}
		})
	}
	ask()
	hedge := time.NewTimer(hedgeDelay)
	defer hedge.Stop()
	var failure error
	for {
		select {
		case <-hedge.C:
			if next < len(u.list) {
				ask()
				hedge.Reset(hedgeDelay)
			}
		case a := <-replies:
			waiting--
			if a.err == nil && (a.msg.Rcode == dns.RcodeSuccess || a.msg.Rcode == dns.RcodeNameError) {
				return a.msg, a.up, nil
			}
			failure = replyError(step, a.msg, a.up, a.err)
			if next < len(u.list) {
				ask()
			} else if waiting == 0 {
				return nil, a.up, failure
			}
		}
	}
}

func replyError(step string, m *dns.Msg, up Upstream, err error) error {
	e := &Error{Step: step, Upstream: up.Addr.String(), Kind: ErrServer}
	switch {
	case err == nil:
		e.Detail = dns.RcodeToString[m.Rcode]
	case errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) || errors.Is(err, context.Canceled):
		e.Kind = ErrTimeout
	default:
		e.Kind, e.Detail = ErrTimeout, err.Error()
	}
	return e
}

// query asks one server over UDP, and over TCP when the answer is cut off.
// Each try has a socket, port and id of its own (RFC 5452).
func query(ctx context.Context, name string, qtype uint16, flags queryFlags, up Upstream) (m *dns.Msg, err error) {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(1232, flags&withDO != 0)
	q.CheckingDisabled = flags&withCD != 0
	q.AuthenticatedData = true // asks for AD in the answer (RFC 6840 section 5.7)
	for range queryTries {
		q.Id = dns.Id()
		m, err = roundTrip(ctx, q, dns.Client{Net: "udp", Timeout: queryTimeout, UDPSize: 1232}, up)
		if err == nil && m.Truncated {
			m, err = roundTrip(ctx, q, dns.Client{Net: "tcp", Timeout: 2 * queryTimeout}, up)
		}
		if err == nil || ctx.Err() != nil || !os.IsTimeout(err) {
			break
		}
	}
	return m, err
}

// roundTrip sends a query and waits for the answer, or for the end of ctx,
// which the library itself does not watch while it reads.
func roundTrip(ctx context.Context, q *dns.Msg, c dns.Client, up Upstream) (*dns.Msg, error) {
	conn, err := c.DialContext(ctx, up.Addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Conn.Close() })
	defer stop()
	m, _, err := c.ExchangeWithConnContext(ctx, q, conn)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return m, err
}
