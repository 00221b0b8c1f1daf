package tcpemu

import (
	"context"
	"fmt"
	"syscall"
)

const (
	// maxUnaccepted bounds connections that peers opened and nobody has taken
	// yet; further ones are refused.
	maxUnaccepted = 1024

	// maxUnacceptedPeer bounds those of one peer. One that opens more than the
	// program accepts would else have everybody refused; those that it resets
	// meanwhile count until they are taken.
	maxUnacceptedPeer = maxUnaccepted / peerShare
)

// A backlog is the connections that wait to be accepted.
type backlog struct {
	opens chan *Open
	peers shares
}

func newBacklog() backlog { return backlog{opens: make(chan *Open, maxUnaccepted)} }

// put has a connection wait.
func (b *backlog) put(o *Open) error {
	peer := sharerOf(o.From().Addr())
	if b.peers.add(peer, 1) > maxUnacceptedPeer {
		b.peers.add(peer, -1)
		return fmt.Errorf("%d connections of this peer wait to be accepted: %w", maxUnacceptedPeer, syscall.EAGAIN)
	}
	select {
	case b.opens <- o:
		return nil
	default:
		b.peers.add(peer, -1)
		return fmt.Errorf("%d connections wait to be accepted: %w", maxUnaccepted, syscall.EAGAIN)
	}
}

// take waits for a connection. It returns nil when either context ends first.
func (b *backlog) take(ctx, open context.Context) *Open {
	select {
	case o := <-b.opens:
		b.peers.add(sharerOf(o.From().Addr()), -1)
		return o
	case <-open.Done():
	case <-ctx.Done():
	}
	return nil
}

// refuse empties the backlog.
func (b *backlog) refuse(code Code) {
	for {
		select {
		case o := <-b.opens:
			b.peers.add(sharerOf(o.From().Addr()), -1)
			o.Reject(code, "")
		default:
			return
		}
	}
}
