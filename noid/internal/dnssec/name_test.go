package dnssec

import (
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// The example of RFC 4034 section 6.1.
func TestCanonicalOrder(t *testing.T) {
	sorted := []string{"example.", "a.example.", "yljkjljk.a.example.", "z.a.example.", "zabc.a.example.", "z.example.", "\\001.z.example.", "*.z.example.", "\\200.z.example."}
	got := slices.Clone(sorted)
	slices.Reverse(got)
	slices.SortFunc(got, compare)
	if !slices.Equal(got, sorted) {
		t.Errorf("%q, want %q", got, sorted)
	}
}

func TestNames(t *testing.T) {
	for _, test := range [][2]string{
		{parent("a.b.example."), "b.example."}, {parent("example."), "."}, {parent("."), "."}, {parent("a\\.b.example."), "example."},
		{tail("a.b.example.", 2), "b.example."}, {tail("a.b.example.", 0), "."}, {tail("a.example.", 5), "a.example."},
		{wildcard("example."), "*.example."}, {wildcard("."), "*."},
		{substitute("x.y.old.example.", "old.example.", "new."), "x.y.new."}, {substitute("x.old.", "old.", "."), "x."}, {substitute("x.old.", ".", "new."), "x.old.new."},
	} {
		if test[0] != test[1] {
			t.Errorf("%q, want %q", test[0], test[1])
		}
	}
	for name, want := range map[string]int{".": 0, "a.example.": 2, "*.example.": 1, "a.*.example.": 3, "*.": 0} {
		if got := ownLabels(name); got != want {
			t.Errorf("%s has %d labels of its own, want %d", name, got, want)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, test := range []struct {
		owner, next, name string
		types             []uint16
		want              bool
	}{
		{"b.example.", "d.example.", "c.example.", nil, true},
		{"b.example.", "d.example.", "a.b.example.", nil, true},
		{"b.example.", "d.example.", "b.example.", nil, false},
		{"b.example.", "d.example.", "d.example.", nil, false},
		{"b.example.", "d.example.", "e.example.", nil, false},
		{"b.example.", "d.example.", "a.example.", nil, false},
		{"b.example.", "example.", "z.example.", nil, true},    // the last of the zone
		{"b.example.", "a.example.", "z.example.", nil, false}, // leads back, but not to the apex
		{"example.", "example.", "z.example.", nil, true},      // the only one
		{"example.", "example.", "example.", nil, false},
		{"b.example.", "d.example.", "a.b.example.", []uint16{dns.TypeNS}, false},
		{"b.example.", "d.example.", "c.example.", []uint16{dns.TypeNS}, true},
		{"b.example.", "d.example.", "a.b.example.", []uint16{dns.TypeNS, dns.TypeSOA}, true},
		{"b.example.", "d.example.", "a.b.example.", []uint16{dns.TypeDNAME}, false},
	} {
		r := &dns.NSEC{Hdr: dns.RR_Header{Name: test.owner}, NextDomain: test.next, TypeBitMap: test.types}
		if got := covers(r, "example.", test.name); got != test.want {
			t.Errorf("NSEC of %s to %s, types %v, covers %s: %v, want %v", test.owner, test.next, test.types, test.name, got, test.want)
		}
	}
}

// RFC 6840 sections 4.1, 4.3 and 4.4: what a list of types says.
func TestLacks(t *testing.T) {
	const a, ns, soa, ds, cname, mx = dns.TypeA, dns.TypeNS, dns.TypeSOA, dns.TypeDS, dns.TypeCNAME, dns.TypeMX
	for _, test := range []struct {
		types []uint16
		qtype uint16
		want  bool
	}{
		{[]uint16{a}, mx, true},
		{[]uint16{a}, a, false},
		{[]uint16{cname}, a, false},
		{nil, a, true},
		{[]uint16{ns, soa}, a, true},
		{[]uint16{ns, soa}, ds, false}, // the child's
		{[]uint16{ns}, ds, true},       // the parent's
		{[]uint16{ns, ds}, ds, false},
		{[]uint16{ns, ds}, a, false},
		{[]uint16{ns}, a, false},
		{[]uint16{ns}, ns, false},
	} {
		if got := lacks(test.types, test.qtype); got != test.want {
			t.Errorf("types %v prove that there is no %s: %v, want %v", test.types, dns.TypeToString[test.qtype], got, test.want)
		}
	}
}
