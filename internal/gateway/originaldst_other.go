//go:build !linux

package gateway

import (
	"errors"
	"net"
	"net/netip"
)

// originalDst is Linux's.
func originalDst(*net.TCPConn) (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.ErrUnsupported
}
