package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

const (
	// mhHeadStart is how long an attempt over an association goes alone: the
	// time of its first two pairs of addresses.
	mhHeadStart = 2 * attemptDelay

	// uplinksTime is how long the ways out of this host are taken for known.
	uplinksTime = time.Second
)

// A Fallback connects to hosts that do not speak mh: by multipath TCP, which
// becomes plain TCP where either end has no other, and by plain TCP where the
// network swallows the former. All pairs of a way out of this host and an
// address of the target are raced in the manner of RFC 8305, so a dead uplink
// or a dead address costs 250 ms. What won is tried first for ten minutes. The
// zero value is ready for use, by any goroutine.
type Fallback struct {
	// Local are the addresses that connections may leave from. None: every
	// global address that leads out.
	Local []netip.Addr

	memory memory

	mu     sync.Mutex // leaf; guards what follows
	ups    []sctpmh.Uplink
	looked time.Time // when ups were looked up
}

// DialContext connects to a host and port, in families as network has it:
// "tcp", "tcp4" or "tcp6". A name is resolved by the system. The connection is
// a *LegacyConn.
func (f *Fallback) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := splitTarget(address)
	remote := Addr{Host: host, Port: port}
	if err == nil {
		var addrs []netip.Addr
		if addrs, err = lookup(ctx, host); err == nil {
			var c net.Conn
			if c, err = f.dial(ctx, errand{target: remote.String(), to: ofNetwork(network, addrs, port), why: "mh was not asked for"}); err == nil {
				return c, nil
			}
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Addr: remote, Err: err}
}

// lookup has the system resolve a name.
func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// ofNetwork returns the addresses that a network such as "tcp6" has.
func ofNetwork(network string, addrs []netip.Addr, port uint16) (to []netip.AddrPort) {
	for _, a := range addrs {
		a = a.Unmap()
		if a.Is4() && network != "tcp6" || a.Is6() && network != "tcp4" {
			to = append(to, netip.AddrPortFrom(a, port))
		}
	}
	return to
}

// An errand is what to connect to, and how.
type errand struct {
	target string // names it in the memory
	to     []netip.AddrPort
	why    string // why not over mh; "" when that is tried

	// more, unless nil, waits for further addresses and returns all that are known
	// then, none at the end.
	more func(context.Context) ([]netip.AddrPort, error)
	past []netip.AddrPort // those of them that are tried already

	// mh, unless nil, is the attempt over an association, and lead how long it
	// goes alone.
	mh   func(context.Context) (net.Conn, error)
	lead time.Duration
}

// dial runs an errand: mh goes first, and the ways of TCP beside it when it
// has not succeeded soon. A way that won before goes first of all.
func (f *Fallback) dial(ctx context.Context, e errand) (net.Conn, error) {
	ups := f.uplinks()
	here := place{network(ups), e.target}
	old, known := f.memory.recall(here, time.Now())
	order := ways(e.to, ups, f.source, old.way)
	known = known && len(order) > 0 && order[0].way == old.way
	refusals := watchRefusals(ctx, e.to)
	defer refusals.end()
	var p plan
	others := func() {
		if e.mh != nil {
			p.add("mh", e.lead, e.mh)
		}
		if e.more != nil {
			p.add("", 0, func(ctx context.Context) (net.Conn, error) { return f.dialMore(ctx, e, refusals) })
		}
	}
	if !known {
		others()
	}
	for i, w := range order {
		plain := known && i == 0 && old.plain
		p.add(w.String(), w.lead, func(context.Context) (net.Conn, error) {
			c, err := connect(refusals.ctx, w.way, plain)
			refusals.note(w.to, err)
			return c, err
		})
		if known && i == 0 {
			others()
		}
	}
	if len(p.attempts) == 0 {
		return nil, fmt.Errorf("no way leads from here to %v: %w", e.to, syscall.ENETUNREACH)
	}
	end := race(ctx, p.attempts, isAnswer, discard)
	if end.winner < 0 {
		return nil, failures(end.errs)
	}
	c, ok := end.value.(*LegacyConn)
	if !ok {
		f.memory.forget(here)
		return end.value, nil
	}
	if end.winner > 0 || known || c.plain { // else it is what is tried first anyway
		f.memory.remember(here, c.way, c.plain, time.Now())
	}
	c.reason = reason(e.why, known && end.winner == 0, p.names[:end.winner], end.errs)
	return c, nil
}

var errNoMore = errors.New("there are no further addresses")

// failures is why all attempts failed. That no further addresses came is a reason
// only when there is no other.
func failures(errs []error) error {
	told := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil || errors.Is(err, errNoMore) })
	if len(told) == 0 {
		told = errs
	}
	return errors.Join(told...)
}

// dialMore connects to the addresses that come while others are being tried. It
// does not wait for them any more when all others have refused.
func (f *Fallback) dialMore(ctx context.Context, e errand, refusals *refusals) (net.Conn, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(refusals.ctx, cancel)()
	for {
		all, err := e.more(waiting)
		if waiting.Err() != nil && ctx.Err() == nil {
			return nil, errNoMore
		}
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			return nil, errNoMore
		}
		past := append(slices.Clone(e.past), e.to...)
		fresh := slices.DeleteFunc(all, func(a netip.AddrPort) bool { return slices.Contains(past, a) })
		if len(fresh) > 0 {
			return f.dial(ctx, errand{target: e.target, to: fresh, why: e.why, more: e.more, past: past})
		}
	}
}

// A plan is the attempts of a race and what they are called.
type plan struct {
	attempts []attempt[net.Conn]
	names    []string
}

func (p *plan) add(name string, lead time.Duration, run func(context.Context) (net.Conn, error)) {
	p.attempts = append(p.attempts, attempt[net.Conn]{run: run, lead: lead})
	p.names = append(p.names, name)
}

// isAnswer reports whether an error is the host's own answer: no other way
// will get a better one. One that is about to go answers nothing.
func isAnswer(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && !undone(err)
}

// reason tells why a connection came about as it did: why not over mh, and
// what was tried before.
func reason(why string, again bool, before []string, errs []error) string {
	var parts []string
	if why != "" {
		parts = append(parts, why)
	}
	if again {
		parts = append(parts, "it has won here before")
	}
	for i, name := range before {
		if name == "" { // it waited for addresses
			continue
		}
		if errs[i] != nil {
			parts = append(parts, name+": "+strings.ReplaceAll(errs[i].Error(), "\n", ", "))
		} else {
			parts = append(parts, name+": no answer so far")
		}
	}
	return strings.Join(parts, "; ")
}

// uplinks returns the ways out of this host that may be used. When they cannot
// be found out, what the kernel chooses has to do.
func (f *Fallback) uplinks() []sctpmh.Uplink {
	now := time.Now()
	f.mu.Lock()
	ups, looked := f.ups, f.looked
	f.mu.Unlock()
	if !looked.IsZero() && now.Sub(looked) < uplinksTime {
		return ups
	}
	all, _ := sctpmh.Uplinks()
	ups = f.permitted(all)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ups, f.looked = ups, now
	return ups
}

// permitted returns those uplinks that have a local address of the user's
// choice. One that is chosen and leads nowhere by itself is believed: source
// routing may see to it.
func (f *Fallback) permitted(all []sctpmh.Uplink) (out []sctpmh.Uplink) {
	if len(f.Local) == 0 {
		return all
	}
	for _, a := range f.Local {
		i := slices.IndexFunc(all, func(u sctpmh.Uplink) bool { return u.Addr == a })
		if i < 0 {
			out = append(out, sctpmh.Uplink{Addr: a})
		} else {
			out = append(out, all[i])
		}
	}
	return out
}

// source returns what the kernel sends from to a destination, if that may be
// used.
func (f *Fallback) source(to netip.AddrPort) netip.Addr {
	a := sctpmh.SourceFor(to)
	if len(f.Local) > 0 && !a.IsLoopback() && !slices.Contains(f.Local, a) {
		return netip.Addr{}
	}
	return a
}

// network names the network that this host is in.
func network(ups []sctpmh.Uplink) string {
	var addrs []string
	for _, u := range ups {
		addrs = append(addrs, u.Addr.String())
	}
	slices.Sort(addrs)
	return strings.Join(addrs, " ")
}
