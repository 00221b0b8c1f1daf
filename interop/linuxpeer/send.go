package main

import (
	"fmt"

	"github.com/sctpmh/mh/interop/pattern"
)

// A load is what a send command asks for.
type load struct {
	stream, streams   uint16
	ppid              uint32
	unordered         bool
	size, count, seed uint64
}

func (c command) load() (l load, err error) {
	read := func(key string, bits int) uint64 {
		n, e := c.number(key, bits)
		if err == nil {
			err = e
		}
		return n
	}
	l = load{
		stream: uint16(read("stream", 16)), streams: max(1, uint16(read("streams", 16))),
		ppid: uint32(read("ppid", 32)), unordered: read("unordered", 1) == 1,
		size: read("size", 64), count: read("count", 64), seed: read("seed", 64),
	}
	if err == nil && (l.size == 0 || l.size > sendBuffer/2) {
		err = fmt.Errorf("size=%d: a message has 1 to %d octets", l.size, sendBuffer/2)
	}
	return l, err
}

// send has a load sent.
func (a *association) send(c command) error {
	l, err := c.load()
	if err != nil {
		return err
	}
	a.senders.Go(func() { // ends when the kernel has taken all, or with the association
		if err := a.fill(l); err != nil {
			a.say.line("error send %v", err)
			return
		}
		a.say.line("sent count=%d", l.count)
	})
	return nil
}

func (a *association) fill(l load) error {
	message := make([]byte, l.size)
	var oob []byte
	for i := range l.count {
		pattern.Fill(message, l.seed, i)
		on := label{stream: l.stream + uint16(i%uint64(l.streams)), ppid: l.ppid, unordered: l.unordered}
		oob = on.ancillary(oob)
		if err := a.sock.send(message, oob); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}
