//go:build !linux

package udp

import (
	"errors"
	"net/netip"
	"syscall"
)

func (s *Socket) setup(int, netip.AddrPort, bool) error { return nil }
func segmented(oob []byte, _ int) []byte                { return oob }
func coalesced([]byte) int                              { return 0 }
func offloadRefused(error) bool                         { return false }

// LinkGone reports whether a send failed because its uplink has no way out.
func LinkGone(err error) bool {
	return errors.Is(err, syscall.ENETDOWN) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
}
