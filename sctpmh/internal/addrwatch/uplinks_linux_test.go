package addrwatch

import (
	"net/netip"
	"slices"
	"testing"
)

// What the kernel says of a host with two providers, and with one of them gone.
func TestUplinksOfKernel(t *testing.T) {
	h := newHost(t)
	want := func(what string, addrs ...netip.Addr) {
		t.Helper()
		var got []netip.Addr
		h.must(h.Do(func() error {
			all, err := Uplinks()
			for _, u := range all {
				got = append(got, u.Addr)
			}
			return err
		}))
		slices.SortFunc(got, netip.Addr.Compare)
		slices.SortFunc(addrs, netip.Addr.Compare)
		if !slices.Equal(got, addrs) {
			t.Errorf("%s: %v, want %v", what, got, addrs)
		}
	}
	want("both attached", h.Addrs()...)
	h.must(h.isp.Unroute(h.Host))
	want("no routes by the first", h.Addrs()[2:]...)
}
