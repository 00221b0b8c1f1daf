package tcpemu

import (
	"net/netip"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

func TestRoundTripOfWhatComes(t *testing.T) {
	const short, long, mb = 10 * time.Millisecond, 60 * time.Millisecond, 1 << 20
	path := func(n int, srtt time.Duration, received uint64, inUse bool) sctpmh.PathInfo {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 9899)
		return sctpmh.PathInfo{Local: at, Remote: at, SRTT: srtt, RxBytes: received, InUse: inUse}
	}
	for _, c := range []struct {
		name  string
		steps [][]sctpmh.PathInfo
		want  time.Duration
	}{
		{"one path", [][]sctpmh.PathInfo{{path(1, short, mb, true)}}, short},
		{"ours takes the short one, what comes takes both", [][]sctpmh.PathInfo{{path(1, short, mb, true), path(2, long, mb, false)}}, long},
		{"probes only over the long one", [][]sctpmh.PathInfo{{path(1, short, mb, true), path(2, long, mb/20, false)}}, short},
		{"not any more", [][]sctpmh.PathInfo{
			{path(1, short, mb, true), path(2, long, mb, false)},
			{path(1, short, 2*mb, true), path(2, long, mb+mb/20, false)},
		}, short},
		{"it moved to the long one", [][]sctpmh.PathInfo{
			{path(1, short, mb, true), path(2, long, 0, false)},
			{path(1, short, mb, false), path(2, long, mb, true)},
		}, long},
		{"a queue", [][]sctpmh.PathInfo{{path(1, 80*time.Millisecond, mb, true)}, {path(1, long, 2*mb, true)}, {path(1, 200*time.Millisecond, 3*mb, true)}}, long + long/8},
		{"a queue of one of two", [][]sctpmh.PathInfo{
			{path(1, short, mb, true), path(2, long, mb, false)},
			{path(1, short, 2*mb, true), path(2, 90*time.Millisecond, 2*mb, false)},
		}, 90 * time.Millisecond},
		{"what the kernel tells", [][]sctpmh.PathInfo{{path(1, short, 0, false), path(2, long, 0, true)}}, long},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r roundTrip
			for _, all := range c.steps {
				r.take(all)
			}
			if r.least != c.want {
				t.Errorf("%v, want %v", r.least, c.want)
			}
		})
	}
}
