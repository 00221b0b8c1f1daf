package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Status is how bad a finding is.
type Status string

// The statuses.
const (
	OK   Status = "ok"
	Info Status = "info" // good to know, nothing to mend
	Warn Status = "warn" // something works less well than it could
	Fail Status = "fail" // something does not work
)

// A Finding is what a check has seen.
type Finding struct {
	Check  string   `json:"check"`
	Status Status   `json:"status"`
	Seen   string   `json:"seen"`
	Advice []string `json:"advice,omitempty"` // what to do, line by line
}

// A Report is what all checks have seen. Its JSON form is documented in
// docs/operating.md.
type Report struct {
	OK       bool      `json:"ok"`      // nothing has failed
	Uplinks  int       `json:"uplinks"` // that lead out
	Findings []Finding `json:"findings"`
}

// checks returns the names of those checks that have a finding of one of these
// statuses.
func (r *Report) checks(statuses ...Status) (names []string) {
	for _, f := range r.Findings {
		if slices.Contains(statuses, f.Status) && !slices.Contains(names, f.Check) {
			names = append(names, f.Check)
		}
	}
	return names
}

// verdict answers the question that was asked.
func (r *Report) verdict() string {
	s := fmt.Sprintf("%d uplinks lead out.", r.Uplinks)
	switch r.Uplinks {
	case 0:
		s = "No uplink leads out."
	case 1:
		s = "No second path: one uplink leads out."
	}
	if bad := r.checks(Warn, Fail); len(bad) > 0 {
		s += " Look at: " + strings.Join(bad, ", ") + "."
	}
	return s
}

// WriteText writes the report for people: a line for each finding, advice
// below it, the verdict at the end.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-4s  %-14s  %s\n", f.Status, f.Check, f.Seen)
		for _, line := range f.Advice {
			fmt.Fprintf(&b, "%22s%s\n", "", "> "+line)
		}
	}
	fmt.Fprintf(&b, "\n%s\n", r.verdict())
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON writes the report as one object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
