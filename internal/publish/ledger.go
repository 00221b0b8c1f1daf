package publish

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A ledger says whose the records at a name are, as the markers have it.
type ledger struct {
	want   *Want
	mine   marker
	gone   []marker // what is to go of other hosts
	others []marker // what has to stay
}

// newLedger reads the markers at a name.
func newLedger(have *Present, want *Want) (*ledger, error) {
	all := have.markers()
	for _, id := range want.Drop {
		if !slices.ContainsFunc(all, func(m marker) bool { return m.host == id }) {
			return nil, fmt.Errorf("%s has nothing that host %s published: %s", want.Name, id, hostsOf(all))
		}
	}
	l := &ledger{want: want, mine: marker{host: want.Host}}
	known := slices.ContainsFunc(all, func(m marker) bool { return m.host == want.Host })
	for _, m := range all {
		switch {
		case m.host == want.Host, m.host == Unnamed && !known && want.wrote(&m):
			l.mine.items = append(l.mine.items, m.items...)
		case want.Replace, slices.Contains(want.Drop, m.host):
			l.gone = append(l.gone, m)
		default:
			l.others = append(l.others, m)
		}
	}
	return l, nil
}

// markers are those at the name, one for each host.
func (h *Present) markers() (all []marker) {
	for _, rr := range h.TXT {
		m, ok := parseMarker(rr)
		if !ok {
			continue
		}
		i := slices.IndexFunc(all, func(x marker) bool { return x.host == m.host })
		if i < 0 {
			all = append(all, m)
			continue
		}
		all[i].items = append(all[i].items, m.items...)
	}
	return all
}

// wrote reports whether a marker that names no host is of this one: it has an
// address of this host, or all is to be taken back and nothing else could be
// meant. Once this host has a marker with its id, it has no other.
func (w *Want) wrote(m *marker) bool {
	return w.withdraws() || slices.ContainsFunc(m.addrs(), func(a netip.Addr) bool { return slices.Contains(w.Addrs, a) })
}

func hostsOf(all []marker) string {
	var out []string
	for _, m := range all {
		out = append(out, string(m.host))
	}
	if len(out) == 0 {
		return "no host has published there"
	}
	return "those that did are " + strings.Join(out, ", ")
}

// holder is the host among some that has published a record.
func holder(all []marker, item string) (HostID, bool) {
	i := slices.IndexFunc(all, func(m marker) bool { return item != "" && m.holds(item) })
	if i < 0 {
		return "", false
	}
	return all[i].host, true
}

// leaves says why a record goes that is not wanted; "" when it stays.
func (l *ledger) leaves(rr dns.RR, why string) string {
	if m, ok := parseMarker(rr); ok {
		return l.outdated(&m, why)
	}
	item := itemOf(rr, l.want.Name)
	if _, held := holder(l.others, item); held {
		return ""
	}
	if item != "" && l.mine.holds(item) {
		return l.want.or(why)
	}
	if id, held := holder(l.gone, item); held {
		return "of host " + string(id)
	}
	_, text := rr.(*dns.TXT)
	switch {
	case l.want.Replace && !text: // other texts are not about this service
		return "not published from here, replaced"
	case l.want.takesOver(rr):
		return "entered by hand, replaced"
	}
	return ""
}

// outdated says why a marker goes.
func (l *ledger) outdated(m *marker, why string) string {
	has := func(all []marker) bool {
		return slices.ContainsFunc(all, func(x marker) bool { return x.host == m.host })
	}
	switch {
	case has(l.others):
		return ""
	case has(l.gone):
		return "of host " + string(m.host)
	}
	return l.want.or(why)
}

// takesOver reports whether a capability record goes because this host's takes
// its place, whoever entered it.
func (w *Want) takesOver(rr dns.RR) bool {
	item := itemOf(rr, w.Name)
	return w.Cap != nil && (w.Force || w.Replace) && serviceItem(item)
}

// stays says whose a record is that stays though it is not wanted.
func (l *ledger) stays(rr dns.RR) string {
	m, isMarker := parseMarker(rr)
	switch id, held := holder(l.others, itemOf(rr, l.want.Name)); {
	case isMarker:
		return "what host " + string(m.host) + " has published"
	case held:
		return "of host " + string(id)
	}
	return "not published from here"
}

// byHand is the record that somebody has entered where this host's own
// capability record would be: one about this host, of its form, that no host
// has published.
func (l *ledger) byHand(have []dns.RR, own dns.RR) dns.RR {
	if slices.ContainsFunc(have, func(rr dns.RR) bool { return dns.IsDuplicate(rr, own) }) {
		return nil
	}
	var found dns.RR
	for _, rr := range have {
		item := itemOf(rr, l.want.Name)
		_, gone := holder(l.gone, item)
		_, held := holder(l.others, item)
		if item == "" || gone || held || l.mine.holds(item) || l.want.takesOver(rr) {
			continue
		}
		if sameMeaning(rr, own) {
			return rr
		}
		found = rr
	}
	return found
}

// notes are what an operator should know of the other hosts at the name.
func (l *ledger) notes() (out []string) {
	if l.want.withdraws() {
		return nil
	}
	for _, m := range l.others {
		addrs := slices.DeleteFunc(m.addrs(), func(a netip.Addr) bool { return slices.Contains(l.want.Addrs, a) })
		switch {
		case m.host == Unnamed:
			out = append(out, "an older version of mh has published "+list(m.items)+" and does not say on which host: if it is gone, --drop "+string(Unnamed))
		case len(addrs) == 0 && len(m.addrs()) > 0:
			out = append(out, fmt.Sprintf("host %s has published the same addresses: it is another one behind the same translator, or this one with the id that it had before; then --drop %s", m.host, m.host))
		case l.want.Cap != nil || m.service():
			out = append(out, fmt.Sprintf("host %s has published other addresses, and a capability record says that all are of one machine: give each host a name of its own, or use --addresses-only on both; if it is gone for good, --drop %s", m.host, m.host))
		}
	}
	return out
}

func list(items []string) string {
	if len(items) == 0 {
		return "nothing"
	}
	return strings.Join(items, ", ")
}
