//go:build !linux

package tcpemu

import (
	"syscall"

	"github.com/sctpmh/mh/sctpmh"
)

// leaveBy does nothing: the source address has to do.
func leaveBy(sctpmh.Uplink) func(network, address string, c syscall.RawConn) error { return nil }
