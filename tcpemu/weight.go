package tcpemu

import "github.com/sctpmh/mh/sctpmh"

// MaxWeight is the largest weight of a connection.
const MaxWeight = sctpmh.MaxWeight

// SetWeight says how many times as much of what the association can send goes to
// this connection as to one of weight 1, which is the default, while both have
// something to send. Beyond MaxWeight it is that, below 1 it is 1. The peer is told
// nothing: its direction is its own. Its error is net.ErrClosed after Close.
func (c *Conn) SetWeight(weight int) error {
	return c.set(func() {
		c.weighted = true
		c.s.assoc.SetWeight(c.sid, weight)
	})
}
