package tcpemu

import (
	"fmt"
)

// WriteUrgent writes one octet of the stream as an urgent one, as send(2) does
// with MSG_OOB. It comes in its place in the stream: a peer that does not ask
// for urgency reads it as any other. Its errors are those of Write.
func (c *Conn) WriteUrgent(octet byte) error {
	c.writing <- struct{}{}
	defer c.doneWriting()
	_, err := c.put(nil, true)
	if err == nil {
		_, err = c.reserve(1)
	}
	if err == nil {
		// Only the one who writes moves sent: it is where reserve left it.
		c.mu.Lock()
		f := frame{typ: typeUrg, offset: c.send.sent - 1, octet: octet}
		c.mu.Unlock()
		err = c.sendMessage(c.message(ppidCtrl, f.append(nil)), 1)
	}
	if err != nil {
		return c.opError("write", err)
	}
	return nil
}

// ReadUrgent is Read for one who cares for urgency: an urgent octet is read
// alone, with urgent set. When several wait only the latest is urgent, as with
// TCP. Beside gateways, telnet and ftp servers have a use for it.
func (c *Conn) ReadUrgent(b []byte) (n int, urgent bool, err error) {
	n, urgent, err = c.readSome(b, true)
	return n, urgent, c.readError("read", err)
}

// handleUrg takes an urgent octet. It is called by the session's read, as is
// everything that changes recv.received.
func (c *Conn) handleUrg(offset uint64, octet uint8) error {
	if offset != c.recv.received {
		return fmt.Errorf("URG on stream %d at offset %d of %d", c.sid, offset, c.recv.received)
	}
	return c.receive([]byte{octet}, true)
}
