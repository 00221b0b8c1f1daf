package tcpemu

import (
	"io"
	"net"
	"sync"
)

// ReadFrom writes what r has, until r ends. It saves the copy that Write makes,
// because it reads into memory that the association may keep. Calls of Write
// and CloseWrite come between two reads of r. The error of r is returned as it
// is; others are those of Write.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	spare := make([]byte, writeUnit)
	for {
		k, rerr := r.Read(spare)
		if k > 0 {
			unit := spare[:k:k]
			if k < len(spare)/2 {
				unit = append([]byte(nil), unit...) // what was read little must not pin much
			} else {
				spare = make([]byte, writeUnit)
			}
			written, err := c.putAlone(unit)
			n += int64(written)
			if err != nil {
				return n, c.opError("readfrom", err)
			}
		}
		switch rerr {
		case nil:
		case io.EOF:
			return n, nil
		default:
			return n, rerr
		}
	}
}

// putAlone is put for one that is not yet the one who writes.
func (c *Conn) putAlone(unit []byte) (n int, err error) {
	c.writing <- struct{}{}
	defer c.doneWriting()
	return c.put(unit, false)
}

// copyUnit is how much WriteTo hands to a writer at a time, in octets.
const copyUnit = 64 << 10

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 0, copyUnit); return &b }}

// WriteTo writes what is received to w until the peer ends its direction. A TCP
// connection gets many messages with one system call. The error of w is
// returned as it is, and what w did not take then is lost; others are those of
// Read.
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	for {
		var chunks net.Buffers
		var octets int
		err := c.await(1, func(r *recvHalf) { chunks, octets = r.takeChunks(copyUnit) })
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, c.readError("writeto", err)
		}
		c.grant(octets)
		k, err := writeChunks(w, chunks)
		n += k
		if err != nil {
			return n, err
		}
	}
}

// writeChunks writes all chunks with one Write, or one writev.
func writeChunks(w io.Writer, chunks net.Buffers) (int64, error) {
	switch w.(type) {
	case *net.TCPConn, *net.UnixConn:
		return chunks.WriteTo(w)
	}
	b := chunks[0]
	if len(chunks) > 1 {
		buf := copyBuffers.Get().(*[]byte)
		defer copyBuffers.Put(buf)
		b = (*buf)[:0]
		for _, chunk := range chunks {
			b = append(b, chunk...)
		}
		*buf = b
	}
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return int64(n), err
}
