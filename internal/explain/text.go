package explain

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sctpmh/mh/noid"
)

// WriteText writes the report for people, the verdict last.
func (r *Name) WriteText(w io.Writer) error {
	var b strings.Builder
	writeQuestions(&b, r.Questions)
	if len(r.Records) > 0 {
		b.WriteString("\ncapability records\n")
		for _, c := range r.Records {
			fmt.Fprintf(&b, "  %-4s  %s%s\n", fate(c.Dropped), c.Record, because(c.Dropped))
		}
	}
	for _, h := range r.Hosts {
		fmt.Fprintf(&b, "\nhost %s, speaks mh at UDP port %d (%s); binding %s, channel %s\n", h.Name, h.Capability.UDPPort, h.Capability.Via, h.Binding, h.Channel)
		writeAddresses(&b, h.Addresses, h.Binding != noid.BindingStatic.String())
		b.WriteString("  second path, by trust mode\n")
		for _, m := range h.Modes {
			mark := ' '
			if m.InUse {
				mark = '*'
			}
			fmt.Fprintf(&b, "  %c %-13s  %s\n", mark, m.Trust, cmp.Or(strings.Join(m.Second, ", "), "no: "+m.Why))
		}
	}
	if r.Plain != nil {
		fmt.Fprintf(&b, "\nplain TCP to %s; channel %s%s\n", r.Plain.Name, r.Plain.Channel, forbidden(r.NoPlain))
		writeAddresses(&b, r.Plain.Addresses, false)
	}
	if r.DNSSEC != "" {
		fmt.Fprintf(&b, "\nDNSSEC: %s\n", r.DNSSEC)
	}
	if r.Error != "" && !r.static() {
		fmt.Fprintf(&b, "\nnote: %s\n", r.Error)
	}
	fmt.Fprintf(&b, "\n%s\n", r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

// static reports whether the hosts file has the answer, in which the verdict
// says what is missing.
func (r *Name) static() bool { return len(r.Questions) == 0 }

func forbidden(no bool) string {
	if no {
		return "; the trust mode forbids it"
	}
	return ""
}

func fate(dropped string) string {
	if dropped != "" {
		return "drop"
	}
	return "ok"
}

func because(why string) string {
	if why != "" {
		return "; " + why
	}
	return ""
}

func writeAddresses(b *strings.Builder, all []Address, reverse bool) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, a := range all {
		note := a.Dropped
		if note == "" {
			note = a.From
			if a.Stale {
				note += ", stale"
			}
			switch {
			case !reverse: // nobody has asked for one
			case a.Reverse:
				note += ", reverse record leads back"
			case len(a.ReverseNames) > 0:
				note += ", reverse record names " + strings.Join(a.ReverseNames, ", ")
			default:
				note += ", no reverse record that leads back"
			}
		}
		fmt.Fprintf(t, "  %-4s\t%s\t%s\n", fate(a.Dropped), a.Addr, note)
	}
	t.Flush()
}

// writeQuestions writes a line for each question, its records below.
func writeQuestions(b *strings.Builder, all []Question) {
	b.WriteString("questions\n")
	if len(all) == 0 {
		b.WriteString("  none: the static file has the answer\n")
	}
	name, server := 0, 0
	for _, q := range all {
		name, server = max(name, len(q.Name)), max(server, len(q.Server))
	}
	for _, q := range all {
		state := cmp.Or(q.Rcode, "no answer")
		if q.Channel != "" {
			state += " " + q.Channel
		}
		if q.Stale {
			state += " stale"
		}
		took := fmt.Sprintf("%.1f ms", q.TookMS)
		if q.Cached {
			took = "cached"
		}
		fmt.Fprintf(b, "  %-4s  %-*s  %-*s  %s, %s, TTL %d\n", q.Type, name, q.Name, server, cmp.Or(q.Server, "-"), state, took, q.TTL)
		for _, r := range q.Records {
			fmt.Fprintf(b, "        %s\n", r)
		}
		switch {
		case q.Rcode == "NOERROR" && len(q.Records) == 0:
			fmt.Fprintf(b, "        no %s record\n", q.Type)
		case q.Error != "" && (q.Rcode == "" || q.Rcode == "NOERROR"):
			fmt.Fprintf(b, "        %s\n", q.Error)
		}
	}
}

// WriteText writes the report for people, the verdict last.
func (r *Addr) WriteText(w io.Writer) error {
	var b strings.Builder
	writeQuestions(&b, r.Questions)
	if len(r.Names) > 0 {
		fmt.Fprintf(&b, "\nnames of %s\n", r.Addr)
	}
	for _, c := range r.Names {
		what := "does not have it"
		if c.Contains {
			what = "has it"
		}
		if c.Host != "" {
			what += "; its capability record names the host " + c.Host + ", which has it"
		} else {
			what += "; no capability record names a host that has it"
		}
		fmt.Fprintf(&b, "  %s  %s: %s\n", c.Name, cmp.Or(strings.Join(c.Forward, ", "), c.Error), what)
	}
	fmt.Fprintf(&b, "\nwhen %s calls\n", r.Addr)
	r.Calling.write(&b)
	fmt.Fprintf(&b, "when %s is called\n", r.Addr)
	r.Called.write(&b)
	fmt.Fprintf(&b, "\n%s\n", r.Verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Side) write(b *strings.Builder) {
	if s.Name == "" {
		fmt.Fprintf(b, "  it is an address only: %s\n", cmp.Or(s.Why, "nothing ties a name to it"))
		return
	}
	others := strings.Join(s.Others, ", ")
	switch {
	case others == "" && len(s.Named) > 0:
		others = strings.Join(s.Named, ", ") + ", if it names them itself"
	case others == "":
		others = "none, " + s.Why
	}
	fmt.Fprintf(b, "  it is %s: binding %s, channel %s; further addresses: %s\n", s.Name, s.Binding, s.Channel, others)
}

// WriteJSON writes a report as one object.
func WriteJSON(w io.Writer, report any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(report)
}
