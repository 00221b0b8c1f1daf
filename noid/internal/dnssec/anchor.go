package dnssec

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// The key signing keys of the root zone, as IANA publishes them: of 2017, and
// of 2024, which takes over in 2026.
const rootAnchors = `
. 0 IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. 0 IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
`

// Root returns the anchors of the root zone.
func Root() (anchors []*dns.DS) {
	p := dns.NewZoneParser(strings.NewReader(rootAnchors), ".", "anchors")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		anchors = append(anchors, rr.(*dns.DS))
	}
	return anchors
}

// ParseAnchor reads a trust anchor: a DS record in the form of zone files.
func ParseAnchor(s string) (*dns.DS, error) {
	rr, err := dns.NewRR(s)
	if err != nil {
		return nil, fmt.Errorf("trust anchor %q: %w", s, err)
	}
	ds, ok := rr.(*dns.DS)
	if !ok || len(usable([]*dns.DS{ds})) == 0 {
		return nil, fmt.Errorf("trust anchor %q: want a DS record with a known algorithm and digest, such as \"example. IN DS 12345 13 2 0123...\"", s)
	}
	ds.Hdr.Name = dns.CanonicalName(ds.Hdr.Name)
	return ds, nil
}
