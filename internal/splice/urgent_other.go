//go:build !linux

package splice

import "net"

// newTCPLeg knows no urgency here: urgent octets of TCP are lost.
func newTCPLeg(net.Conn) (leg, bool) { return nil, false }
