package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid"
)

// A Question is one that was asked, and its answer.
type Question struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Server  string   `json:"server,omitempty"`
	Channel string   `json:"channel,omitempty"` // plain, encrypted, ad, validated; absent without an answer
	Rcode   string   `json:"rcode,omitempty"`
	TookMS  float64  `json:"took_ms"`
	TTL     int      `json:"ttl"` // seconds for which the answer holds from now on
	Cached  bool     `json:"cached,omitempty"`
	Stale   bool     `json:"stale,omitempty"`
	Records []string `json:"records,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// An Address is one of a host, kept or dropped.
type Address struct {
	Addr    string `json:"addr"`
	From    string `json:"from,omitempty"`    // a, aaaa, static, ...
	Dropped string `json:"dropped,omitempty"` // why; absent: it is kept
	Stale   bool   `json:"stale,omitempty"`
	Reverse bool   `json:"reverse"` // its reverse record leads back to the name

	// What its reverse record names instead, where it does not.
	ReverseNames []string `json:"reverse_names,omitempty"`
}

// A Mode is what a trust mode makes of a host.
type Mode struct {
	Trust  string   `json:"trust"`
	InUse  bool     `json:"in_use"`           // it is the configured one
	Second []string `json:"second,omitempty"` // addresses that may be a second path
	Why    string   `json:"why,omitempty"`    // why there are none
}

// A Host is what is known of one.
type Host struct {
	Name       string      `json:"name"`
	Capability *Capability `json:"capability,omitempty"`
	Binding    string      `json:"binding"`
	Channel    string      `json:"channel"`
	Addresses  []Address   `json:"addresses"`
	Error      string      `json:"error,omitempty"`
	Modes      []Mode      `json:"modes,omitempty"`
}

// A Capability is how a host speaks mh.
type Capability struct {
	UDPPort  uint16 `json:"udp_port"`
	SCTPPort uint16 `json:"sctp_port"`
	Flags    uint8  `json:"flags"`
	Via      string `json:"via"`
}

// A Record is a capability record and what became of it.
type Record struct {
	Record  string `json:"record"`
	Dropped string `json:"dropped,omitempty"`
}

// A Name is what is known of a name.
type Name struct {
	Name      string     `json:"name"`
	OK        bool       `json:"ok"` // a second path may be used
	Verdict   string     `json:"verdict"`
	Trust     string     `json:"trust"`
	Questions []Question `json:"questions"`
	Records   []Record   `json:"capability_records"`
	Hosts     []Host     `json:"hosts"`
	Plain     *Host      `json:"plain_tcp,omitempty"`
	NoPlain   bool       `json:"plain_tcp_forbidden,omitempty"`
	DNSSEC    string     `json:"dnssec,omitempty"` // what validation said, where it was tried
	Error     string     `json:"error,omitempty"`
}

// OfName makes a report of an explanation. strict is the same name as a
// resolver in the trust mode "strict" sees it, nil when that is e itself.
func OfName(e, strict *noid.Explanation) *Name {
	secure := validation(strict)
	if strict == nil {
		strict = e
	}
	r := &Name{DNSSEC: secure, Name: e.Name.String(), Trust: e.Trust.String(), NoPlain: e.NoPlain, Error: text(e.Err), Questions: questions(e.Questions)}
	for _, u := range e.Records {
		r.Records = append(r.Records, Record{line(u.Record), u.Why})
	}
	for i, s := range e.Hosts {
		h := host(s, func(a netip.Addr) bool { return e.Leads(i, a) })
		h.name(e.Questions)
		for _, mode := range []noid.Trust{noid.Opportunistic, noid.Reverse, noid.Strict, noid.Pinned, noid.Single} {
			h.Modes = append(h.Modes, modeOf(e, strict, i, mode))
		}
		r.Hosts = append(r.Hosts, h)
	}
	if p := e.Plain; p != nil && len(p.Locators)+len(p.Dropped) > 0 {
		h := host(p, func(netip.Addr) bool { return false })
		r.Plain = &h
	}
	r.OK, r.Verdict = verdict(e, strict)
	return r
}

// name finds out what the reverse records of addresses name that do not lead
// back.
func (h *Host) name(questions []noid.Question) {
	for i := range h.Addresses {
		if a := &h.Addresses[i]; !a.Reverse && a.Dropped == "" {
			a.ReverseNames = reverseNames(questions, a.Addr)
		}
	}
}

func reverseNames(questions []noid.Question, addr string) (out []string) {
	arpa, err := dns.ReverseAddr(addr)
	if err != nil {
		return nil
	}
	for _, q := range questions {
		for _, rr := range q.Records {
			if ptr, ok := rr.(*dns.PTR); ok && q.Name == arpa {
				out = append(out, strings.TrimSuffix(ptr.Ptr, "."))
			}
		}
	}
	return out
}

// AllServers says that only that counts which all servers agree on: then what
// is missing may be there, and one of them does not have it.
func (r *Name) AllServers() {
	if !r.OK {
		r.Verdict += " Only what all servers say counts (dns.consistency): mh dns " + r.Name + " --dns SERVER shows what one of them has."
	}
}

// validation says what a resolver found that validates.
func validation(strict *noid.Explanation) string {
	switch {
	case strict == nil:
		return ""
	case errors.Is(strict.Err, noid.ErrBogus):
		return "bogus: " + text(strict.Err)
	case len(strict.Hosts) > 0 && strict.Hosts[0].Channel == noid.ChanValidated:
		return "validated"
	case len(strict.Hosts) > 0 && strict.Hosts[0].Channel == noid.ChanAD:
		return "validated by a server that is believed"
	case len(strict.Hosts) > 0 && strict.Hosts[0].Channel == noid.ChanLocal:
		return ""
	case len(strict.Hosts) == 0 && strict.Err != nil:
		return "not known: " + text(strict.Err)
	}
	return "not validated: a zone on the way is not signed"
}

func host(s *noid.Set, leads func(netip.Addr) bool) Host {
	h := Host{Name: s.Name.String(), Binding: s.Binding.String(), Channel: s.Channel.String(), Error: text(s.Failure())}
	if c := s.Cap; c != nil {
		h.Capability = &Capability{c.UDPPort, c.SCTPPort, uint8(c.Flags), c.Via}
	}
	for _, l := range s.Locators {
		h.Addresses = append(h.Addresses, Address{Addr: l.Addr.String(), From: l.From.String(), Stale: l.Stale, Reverse: leads(l.Addr)})
	}
	for _, d := range s.Dropped {
		h.Addresses = append(h.Addresses, Address{Addr: d.Addr.String(), Dropped: d.Reason})
	}
	return h
}

// modeOf says what a mode makes of the i-th host.
func modeOf(e, strict *noid.Explanation, i int, mode noid.Trust) Mode {
	m := Mode{Trust: mode.String(), InUse: mode == e.Trust}
	if mode == noid.Strict && strict != e {
		j := sameHost(strict, e.Hosts[i])
		if j < 0 {
			m.Why = "it is not found: " + text(strict.Err)
			return m
		}
		e, i = strict, j
	}
	addrs, why := second(e, i, mode)
	for _, a := range addrs {
		m.Second = append(m.Second, a.String())
	}
	m.Why = why
	return m
}

func sameHost(e *noid.Explanation, s *noid.Set) int {
	for i, h := range e.Hosts {
		if h.Name == s.Name {
			return i
		}
	}
	return -1
}

func questions(all []noid.Question) (out []Question) {
	for _, q := range all {
		x := Question{
			Type: q.Type, Name: q.Name, Server: q.Upstream, Rcode: q.Rcode, Cached: q.Cached, Stale: q.Stale,
			TookMS: float64(q.Took.Round(10*time.Microsecond)) / float64(time.Millisecond),
			TTL:    int(q.TTL.Round(time.Second) / time.Second), Error: text(q.Err),
		}
		if q.Rcode != "" {
			x.Channel = q.Channel.String()
		}
		for _, rr := range q.Records {
			x.Records = append(x.Records, data(rr))
		}
		out = append(out, x)
	}
	return out
}

// data is a record without its header.
func data(rr dns.RR) string { return strings.TrimPrefix(rr.String(), rr.Header().String()) }

// line is a record with single spaces.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }

func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// An Addr is what is known of an address.
type Addr struct {
	Addr      string     `json:"addr"`
	Claim     string     `json:"claim,omitempty"`
	OK        bool       `json:"ok"` // it leads to a host
	Verdict   string     `json:"verdict"`
	Questions []Question `json:"questions"`
	Names     []Check    `json:"names"`
	Calling   Side       `json:"calling"` // whom a host sees that is called from the address
	Called    Side       `json:"called"`  // whom a host sees that calls the address
}

// A Check is a name that the address may have.
type Check struct {
	Name     string   `json:"name"`
	Forward  []string `json:"forward,omitempty"`
	Contains bool     `json:"contains"`
	Host     string   `json:"host,omitempty"` // the target of its capability record that has the address
	Error    string   `json:"error,omitempty"`
}

// A Side is who is at an address, as one end sees it.
type Side struct {
	Name    string   `json:"name,omitempty"`
	Binding string   `json:"binding"`
	Channel string   `json:"channel,omitempty"`
	Others  []string `json:"others,omitempty"` // further addresses that may be probed, if the peer names none
	Named   []string `json:"named,omitempty"`  // those that may be probed if the peer names them
	Why     string   `json:"why,omitempty"`    // why there is no name, or no further address
}

// OfAddr makes a report of an explanation.
func OfAddr(e *noid.AddrExplanation) *Addr {
	r := &Addr{Addr: e.Addr.String(), Claim: e.Claim.String(), Questions: questions(e.Questions)}
	for _, c := range e.Names {
		check := Check{Name: c.Name.String(), Contains: c.Contains(e.Addr), Host: c.Host.String(), Error: text(c.Err)}
		for _, a := range c.Forward {
			check.Forward = append(check.Forward, a.String())
		}
		r.Names = append(r.Names, check)
	}
	r.Calling, r.Called = side(e.Verified, e.VerifyError, e.Addr), side(e.Host, e.HostError, e.Addr)
	r.OK = r.Calling.Name != "" || r.Called.Name != ""
	r.Verdict = addrVerdict(r, e)
	return r
}

func side(s *noid.Set, err error, h netip.Addr) Side {
	if s == nil {
		return Side{Binding: noid.BindingNone.String(), Why: text(err)}
	}
	d := Side{Name: s.Name.String(), Binding: s.Binding.String(), Channel: s.Channel.String(), Why: text(err)}
	if s.Name == "" {
		d.Channel = ""
	}
	d.Others = permitted(s, h, noid.PeerView{Silent: true})
	var all []netip.Addr
	for _, l := range s.Locators {
		all = append(all, l.Addr)
	}
	d.Named = permitted(s, h, noid.PeerView{Listed: all})
	switch {
	case s.Name == "" || len(d.Others)+len(d.Named) > 0:
	case len(s.Locators) < 2:
		d.Why = "the name has no other address that is taken"
	default:
		d.Why = "the trust mode takes none of the others (channel " + d.Channel + ", binding " + d.Binding + ")"
	}
	return d
}

// permitted are the addresses that may be probed beside the one of the
// handshake.
func permitted(s *noid.Set, h netip.Addr, peer noid.PeerView) (out []string) {
	for _, l := range s.Permit(h, peer)[1:] {
		out = append(out, l.Addr.String())
	}
	return out
}

func addrVerdict(r *Addr, e *noid.AddrExplanation) string {
	switch {
	case r.Called.Name != "":
		return fmt.Sprintf("%s is %s, whoever calls it and whomever it calls.%s", r.Addr, r.Called.Name, r.Called.alone())
	case r.Calling.Name != "":
		return fmt.Sprintf("%s is %s when it calls (%s).%s Who calls the address goes without mh: %s.", r.Addr, r.Calling.Name, r.Calling.Binding, r.Calling.alone(), r.Called.Why)
	case failed(e.VerifyError):
		return fmt.Sprintf("Who is at %s is not known: %s. See the question above that failed; mh doctor looks at the servers.", r.Addr, r.Calling.Why)
	case len(r.Names) == 0:
		return fmt.Sprintf("%s leads to no name: publish its reverse record (PTR), have the peer claim its name, or list it in dns.hosts.", r.Addr)
	}
	var names []string
	for _, c := range r.Names {
		if c.Contains {
			return fmt.Sprintf("%s is not believed to be %s: %s.", r.Addr, c.Name, r.Calling.Why)
		}
		names = append(names, c.Name)
	}
	return fmt.Sprintf("%s is an address only: no name that it leads to has it. Add it to the A or AAAA records of %s, or correct its reverse record (PTR).", r.Addr, strings.Join(names, " or "))
}

// alone says that there is one path only, and why.
func (s *Side) alone() string {
	if len(s.Others)+len(s.Named) > 0 {
		return ""
	}
	return " No second path to it: " + s.Why + "."
}
