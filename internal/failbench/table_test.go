package failbench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// median returns the middle of the values, the upper one of two.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}

// A goal is what ours is to reach. Zero: no goal.
type goal struct {
	median, worst float64
	least         bool // goals are least values, not greatest
}

// worstOf returns the value that is furthest from good.
func (g goal) worstOf(values []float64) float64 {
	if g.least {
		return slices.Min(values)
	}
	return slices.Max(values)
}

// missed says what is wrong with the values, "" if nothing is.
func (g goal) missed(values []float64) string {
	bad := func(got, want float64) bool { return want != 0 && (g.least && got < want || !g.least && got > want) }
	var what []string
	if bad(median(values), g.median) {
		what = append(what, "median")
	}
	if bad(g.worstOf(values), g.worst) {
		what = append(what, "worst")
	}
	return strings.Join(what, " and ")
}

func (g goal) String() string {
	sign := "<="
	if g.least {
		sign = ">="
	}
	var s []string
	if g.median != 0 {
		s = append(s, fmt.Sprintf("median %s %g", sign, g.median))
	}
	if g.worst != 0 {
		s = append(s, fmt.Sprintf("worst %s %g", sign, g.worst))
	}
	return strings.Join(s, ", ")
}

// A failRow is what a case gave, by way; ours is the first.
type failRow struct {
	failCase
	values [][]float64
	router tally
}

// A failTable is what the failover benchmark prints.
type failTable struct {
	ways []way
	runs int
	rows []failRow
}

func (t failTable) print(out io.Writer) {
	fmt.Fprintf(out, "\nFailover over network namespaces: median / worst of %d runs", t.runs)
	fmt.Fprintf(out, " (TCP: %d)\n", min(t.runs, few))
	for i, r := range t.rows {
		fmt.Fprintf(out, "  %d. %s\n", i+1, r.name)
	}
	tw := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprint(tw, "\ncase\t")
	for _, w := range t.ways {
		fmt.Fprintf(tw, "%s\t", w.name)
	}
	fmt.Fprint(tw, "goal for sctpmh\t\tlate\n")
	for i, r := range t.rows {
		fmt.Fprintf(tw, "%d\t", i+1)
		for _, v := range r.values {
			fmt.Fprintf(tw, "%s / %s %s\t", cell(median(v)), cell(r.goal.worstOf(v)), r.unit)
		}
		verdict := "met"
		if m := r.goal.missed(r.values[0]); m != "" {
			verdict = "MISSED: " + m
		}
		fmt.Fprintf(tw, "%v\t%s\t%v\n", r.goal, verdict, r.router)
	}
	tw.Flush()
	explainLate(out)
	if len(t.ways) < 3 {
		fmt.Fprintln(out, "This kernel has no MPTCP, or it is switched off (net.mptcp.enabled).")
	}
}

// explainLate says what the last column is.
func explainLate(out io.Writer) {
	fmt.Fprintf(out, "late: frames that left the router more than %v late for want of a processor; with more than a few the figures are the machine's (a busy one: use chrt -r 1).\n", lateness)
}

// cell prints a figure; what reaches patience is a stall that was not waited
// out.
func cell(v float64) string {
	if limit := float64(patience) / float64(time.Millisecond); v >= limit {
		return fmt.Sprintf(">%.0f", limit)
	}
	return fmt.Sprintf("%.0f", v)
}

// A rateRow is what ours and TCP reached of a path, in Mbit/s by round.
type rateRow struct {
	rtt       time.Duration
	loss      float64
	ours, tcp []float64
	router    tally
}

// printRates prints what the throughput benchmark found.
func printRates(out io.Writer, rows []rateRow) {
	fmt.Fprintf(out, "\nGoodput in Mbit/s over network namespaces, one path of 100 Mbit/s, queue of 50 ms: median (least to greatest) of %d rounds, %d where losses rule the rate; ratio of the means\n\n", len(rows[0].ours), slowWorlds)
	tw := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "RTT\tloss\tsctpmh\tTCP CUBIC\tratio\tlate")
	for _, r := range rows {
		fmt.Fprintf(tw, "%v\t%g %%\t%s\t%s\t%.2f\t%v\n", r.rtt, 100*r.loss, spread(r.ours), spread(r.tcp), mean(r.ours)/mean(r.tcp), r.router)
	}
	tw.Flush()
	explainLate(out)
}

func spread(v []float64) string {
	return fmt.Sprintf("%.1f (%.1f to %.1f)", median(v), slices.Min(v), slices.Max(v))
}

func TestGoals(t *testing.T) {
	for _, c := range []struct {
		goal   goal
		values []float64
		missed string
	}{
		{goal{median: 150, worst: 250}, []float64{100, 250, 150}, ""},
		{goal{median: 150, worst: 250}, []float64{151, 100, 251}, "median and worst"},
		{goal{worst: 250}, []float64{240, 100, math.Inf(1)}, "worst"},
		{goal{worst: 90, least: true}, []float64{95, 89, 100}, "worst"},
		{goal{worst: 90, least: true}, []float64{90, 100}, ""},
	} {
		if got := c.goal.missed(c.values); got != c.missed {
			t.Errorf("%v of %v: missed %q, want %q", c.goal, c.values, got, c.missed)
		}
	}
}

func mean(v []float64) (sum float64) {
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
