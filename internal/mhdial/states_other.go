//go:build !linux

package mhdial

import (
	"net/netip"

	"github.com/sctpmh/mh/noid"
)

// addressStates knows nothing elsewhere.
func addressStates() map[netip.Addr]noid.Local { return nil }
