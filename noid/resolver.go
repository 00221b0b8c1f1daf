package noid

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid/internal/dnssec"
)

// Config sets a resolver up. The zero value of each field means its default.
type Config struct {
	// Upstreams are the DNS servers. None: those of /etc/resolv.conf.
	Upstreams []Upstream

	// Roots are the authorities that may have signed the certificates of
	// servers that are talked to over TLS. Nil: the system's.
	Roots *x509.CertPool

	// Consistency says what to believe when servers tell different things.
	Consistency Consistency

	// HostsFile is the static file. "": none.
	HostsFile string

	// SystemHosts is the hosts file of the system, such as /etc/hosts. "": none.
	SystemHosts string

	// Zones are names below which private addresses are expected.
	Zones []Zone

	// Trust says what it takes to use further addresses of a peer.
	Trust Trust

	// DNSSEC says whether answers are validated.
	DNSSEC DNSSEC

	// ReverseAll drops addresses whose reverse record does not lead back to the
	// name.
	ReverseAll bool

	// PortRecords has the record of a service looked up at _PORT._mhsctp.NAME
	// before the one of the name.
	PortRecords bool

	// Native takes hosts that speak SCTP without UDP, which the program can talk
	// to.
	Native bool

	// Search are the domains that [Resolver.ResolveRelative] completes a name
	// with, when it has fewer than Dots dots. Dots 0: 1.
	Search []string
	Dots   int

	// MaxOrphan is how long a host may be talked to whose name has lost all its
	// addresses. Default an hour.
	MaxOrphan time.Duration

	// Network names the network that the host is on, by anything that changes
	// when it moves to another one, such as [SystemNetwork]. Nil: it never moves.
	Network func() string

	// Lab takes documentation, loopback and private addresses for any name:
	// for tests and closed networks.
	Lab bool

	// Own returns where we are reached ourselves: no host that speaks mh is
	// there. Nil: nowhere.
	Own func() []netip.AddrPort

	// Logger gets what an operator should know. Nil: none.
	Logger *slog.Logger

	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// A Resolver finds and verifies the locators of names. Its methods may be
// called from any goroutine.
type Resolver struct {
	// Set once.
	cfg       Config
	upstreams []*upstreams
	servers   []server // whose answers have to agree: one for each of upstreams
	validator *dnssec.Validator
	now       func() time.Time
	log       *slog.Logger
	trust     Trust

	// Each with a lock of its own.
	files     files
	networks  networks
	cache     cache
	referrals referrals
	seen      seen
	reached   reached
	watches   watches
	turns     turns

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup // lookups, streams and watches
}

// New returns a resolver. It fails when a file cannot be read; the error names
// it and the line.
func New(cfg Config) (*Resolver, error) {
	r := &Resolver{
		cfg: cfg, trust: cfg.Trust, now: cfg.Now, log: cfg.Logger,
		networks: networks{look: cfg.Network},
		cache:    newCache(), referrals: newReferrals(), seen: newSeen(), reached: newReached(), watches: newWatches(),
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.cfg.MaxOrphan = cmp.Or(cfg.MaxOrphan, maxOrphan)
	if len(cfg.Search) > maxSearch {
		return nil, fmt.Errorf("%d search domains, at most %d are used", len(cfg.Search), maxSearch)
	}
	if err := r.connect(); err != nil {
		return nil, err
	}
	var err error
	if r.validator, err = r.newValidator(); err != nil {
		return nil, err
	}
	r.files = files{hosts: cfg.HostsFile, system: cfg.SystemHosts, zones: cfg.Zones, lab: cfg.Lab, own: cfg.Own, log: r.log}
	if err := r.files.reload(); err != nil {
		return nil, err
	}
	r.turns = newTurns(r.now())
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// connect sets up whom to ask: the configured servers, or those that
// resolv.conf has at the time.
func (r *Resolver) connect() error {
	all := servers{list: r.cfg.Upstreams, timeout: queryTimeout, tries: queryTries}
	current := func() servers { return all }
	if len(all.list) == 0 {
		conf, err := followConf("/etc/resolv.conf")
		if err != nil && r.cfg.HostsFile == "" {
			return fmt.Errorf("no DNS server is configured and resolv.conf cannot be read: %w", err)
		}
		current = func() servers { return conf.current().servers }
		all = current()
	}
	add := func(whom func() servers) {
		u := newUpstreams(whom, &r.running)
		u.roots = r.cfg.Roots
		r.upstreams = append(r.upstreams, u)
		r.servers = append(r.servers, func(ctx context.Context, q question) (*dns.Msg, Upstream, error) {
			return u.exchange(ctx, q.name, q.qtype, r.queryFlags())
		})
	}
	if r.cfg.Consistency != ConsistencyAll || len(all.list) < 2 {
		add(current)
		return nil
	}
	for i := range all.list {
		add(func() servers { return current().only(i) })
	}
	return nil
}

// Close ends the lookups and watches that are under way and returns when none
// is left.
func (r *Resolver) Close() error {
	r.cancel()
	for _, u := range r.upstreams {
		u.close()
	}
	r.running.Wait()
	return nil
}

// Reload reads the static file and the system's anew, as it also happens within
// seconds after one has changed. After an error what was known before holds.
func (r *Resolver) Reload() error { return r.files.reload() }

func (r *Resolver) local() *local { return r.files.current(r.now()) }

// Resolve finds the hosts behind a name: those that speak mh, and where plain
// TCP would go. An address is its own answer, unless it is found to be a host
// that speaks mh (see [Resolver.Referral]). When the name has neither, the error
// says which question failed at which server.
func (r *Resolver) Resolve(ctx context.Context, name string, port uint16) (*Result, error) {
	return r.resolve(ctx, name, port, false)
}

func (r *Resolver) resolve(ctx context.Context, name string, port uint16, begin bool) (*Result, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return r.resolveLiteral(ctx, a.Unmap(), r.trust == Reverse), nil
	}
	n, err := ParseName(name)
	if err != nil {
		return nil, err
	}
	if s := r.staticSet(n); s != nil {
		return r.resolveStatic(s)
	}
	return r.gather(ctx, n, port, begin)
}

func (r *Resolver) resolveStatic(s *Set) (*Result, error) {
	if len(s.Locators) == 0 {
		return nil, &Error{Step: "addresses of " + s.Name.String(), Kind: ErrPolicy, Detail: "the hosts file gives it none that could be used"}
	}
	res := &Result{Legacy: s}
	if s.Cap != nil {
		res.MH = []*Set{s}
	}
	res.NoFallback = r.trust.noFallback(res)
	return res, nil
}

func (r *Resolver) newSet(name, asked Name) *Set {
	return &Set{Name: name, Asked: asked, trust: r.trust, filters: &r.local().filters}
}

// staticSet returns what the operator's file says of a name, nil if it leaves
// that to the DNS.
func (r *Resolver) staticSet(n Name) *Set {
	h := r.local().static.hosts[n]
	if h == nil || h.merge {
		return nil
	}
	s := r.newSet(n, n)
	s.Locators, s.Cap, s.Binding, s.Channel, s.hostLevel = h.locators, h.cap, BindingStatic, ChanLocal, true
	s.seal()
	return s
}

// seal ends the making of a set.
func (s *Set) seal() {
	members := make([]netip.Addr, 0, len(s.Locators))
	for _, l := range s.Locators {
		members = append(members, l.Addr)
	}
	s.Gen = generation(members)
}

// generation tells sets of addresses apart, whatever their order, by FNV-1a.
func generation(members []netip.Addr) uint64 {
	members = slices.SortedFunc(slices.Values(members), netip.Addr.Compare)
	h := uint64(14695981039346656037)
	for _, a := range members {
		for _, b := range []byte(a.String() + " ") {
			h = (h ^ uint64(b)) * 1099511628211
		}
	}
	return h
}
