package sctpmh

import (
	"net/netip"
	"testing"
)

// Who watches the paths hears of those that an order makes: no event follows
// while nobody answers there.
func TestPathsChangedByOrder(t *testing.T) {
	f := listen(t, nil, "127.0.0.1:0")
	e := listen(t, nil, "127.0.0.1:0")
	a, _ := connect(t, e, f, f.Addrs())
	silent := netip.MustParseAddr("127.0.9.9")
	for what, order := range map[string]func(){
		"Permit":        func() { a.Permit([]netip.Addr{silent}) },
		"SetCandidates": func() { a.SetCandidates(f.Addrs()) },
		"SetPrimary":    func() { a.SetPrimary(Pair{e.Addrs()[0], f.Addrs()[0]}) },
	} {
		changed := a.PathsChanged()
		order()
		select {
		case <-changed:
		default:
			t.Errorf("%s told nobody", what)
		}
	}
}
