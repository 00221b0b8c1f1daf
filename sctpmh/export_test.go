package sctpmh

import (
	"net/netip"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
)

func enginePair(local, remote netip.AddrPort) engine.Pair {
	return engine.Pair{Local: local, Remote: remote}
}

func userOf(e *Endpoint) *userStack { return e.stack.(*userStack) }
func loopOf(a *Assoc) *loop         { return a.driver.(*loop) }
