package tcpemu

import "errors"

// numbers is which stream numbers of an association are ours to open, and
// which of them are free. The side that dialled the association has the odd
// ones, so that it need not wait for the peer's HELLO to open one. When both
// dialled, and the two INITs became one association, the nonces decide: the
// smaller one moves to the even numbers and opens again there what it opened
// before it knew. The other ignores what came on its own numbers.
//
// The session's mutex guards it; only the session's read changes odd.
type numbers struct {
	dialled bool     // set once
	odd     bool     // ours are the odd ones
	won     bool     // both dialled, and ours stayed odd
	next    int      // the least one that was never used
	free    []uint16 // ended ones
	epoch   uint32   // of the latest use of any
}

// newNumbers starts with an epoch at random: what a loser sent on the winner's
// numbers has none of the winner's.
func newNumbers(dialled bool, epoch uint32) numbers {
	n := numbers{dialled: dialled, epoch: epoch}
	n.begin(dialled)
	return n
}

func (n *numbers) begin(odd bool) {
	n.odd, n.next, n.free = odd, 2, nil
	if odd {
		n.next = 1
	}
}

// settle decides for good once the peer has said whether it dialled. lost says
// that what was opened must be opened anew.
func (n *numbers) settle(nonce, peer uint64, peerDialled bool) (lost bool, err error) {
	switch {
	case !n.dialled && !peerDialled:
		return false, errors.New("HELLO says that nobody dialled the association")
	case n.dialled && peerDialled:
		n.won = nonce > peer
		if lost = !n.won; lost {
			n.begin(false)
		}
	}
	return lost, nil
}

// ours reports whether a stream number is one that we open.
func (n *numbers) ours(sid uint16) bool { return (sid%2 == 1) == n.odd }

// take returns a number below limit that is not in use.
func (n *numbers) take(limit uint16) (sid uint16, epoch uint32, ok bool) {
	switch {
	case len(n.free) > 0:
		sid = n.free[len(n.free)-1]
		n.free = n.free[:len(n.free)-1]
	case n.next < int(limit):
		sid = uint16(n.next)
		n.next += 2
	default:
		return 0, 0, false
	}
	n.epoch++
	return sid, n.epoch, true
}

// give takes back a number both of whose directions have ended.
func (n *numbers) give(sid uint16) {
	if n.ours(sid) {
		n.free = append(n.free, sid)
	}
}
