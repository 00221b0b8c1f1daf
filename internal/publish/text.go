package publish

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// WriteDiff writes what becomes of each record, for people.
func (p *Plan) WriteDiff(w io.Writer) error {
	var b strings.Builder
	for _, c := range p.Changes {
		why := ""
		if c.Why != "" {
			why = "  ; " + c.Why
		}
		fmt.Fprintf(&b, "%c %s%s\n", c.Fate, line(c.RR), why)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line is a record as in a zone file, with single spaces.
func line(rr dns.RR) string { return strings.Join(strings.Fields(rr.String()), " ") }

// WriteCommands writes the update in the language of nsupdate, which does the
// same when it is given them.
func (p *Plan) WriteCommands(w io.Writer, server netip.AddrPort) error {
	var b strings.Builder
	fmt.Fprintf(&b, "server %v %d\nzone %s\n", server.Addr(), server.Port(), p.Zone)
	m := p.message()
	for _, rr := range m.Answer {
		if h := rr.Header(); h.Class == dns.ClassNONE {
			fmt.Fprintf(&b, "prereq nxrrset %s IN %s\n", h.Name, dns.TypeToString[h.Rrtype])
		} else {
			fmt.Fprintf(&b, "prereq yxrrset %s IN %s\n", h.Name, data(rr))
		}
	}
	for _, rr := range m.Ns {
		if h := rr.Header(); h.Class == dns.ClassNONE {
			fmt.Fprintf(&b, "update delete %s IN %s\n", h.Name, data(rr))
		} else {
			fmt.Fprintf(&b, "update add %s %d IN %s\n", h.Name, h.Ttl, data(rr))
		}
	}
	b.WriteString("send\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// data is the type and data of a record.
func data(rr dns.RR) string {
	h := rr.Header()
	return dns.TypeToString[h.Rrtype] + " " + strings.TrimPrefix(rr.String(), h.String())
}

// WriteZone writes records as lines of a zone file, for who enters them by
// hand.
func (w *Want) WriteZone(out io.Writer) error {
	var b strings.Builder
	all := append(w.addresses(dns.TypeA), w.addresses(dns.TypeAAAA)...)
	all = append(all, w.service()...)
	all = append(all, w.text()...)
	for _, rr := range all {
		fmt.Fprintln(&b, line(rr))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
