package splice

import (
	"io"
	"net"
)

// urgentReader reads an urgent octet alone and says that it is one. A tcpemu
// connection is an urgentReader and an urgentWriter; tcpLeg is for TCP.
type urgentReader interface {
	ReadUrgent(b []byte) (n int, urgent bool, err error)
}

// urgentWriter writes an octet so that the other end can know it as urgent.
type urgentWriter interface {
	WriteUrgent(octet byte) error
}

// plain is a connection that knows no urgency.
type plain struct{ net.Conn }

func (p plain) ReadUrgent(b []byte) (n int, urgent bool, err error) {
	n, err = p.Read(b)
	return n, false, err
}

func (p plain) WriteUrgent(octet byte) error {
	_, err := p.Write([]byte{octet})
	return err
}

// leg is a connection that is spliced.
type leg interface {
	net.Conn
	urgentReader
	urgentWriter
}

// newLeg returns what is to be read and written instead of c.
func newLeg(c net.Conn) leg {
	if l, ok := c.(leg); ok {
		return l
	}
	if l, ok := newTCPLeg(c); ok {
		return l
	}
	return plain{c}
}

// copyAll copies until the end of src, urgent octets as such.
func copyAll(dst, src leg, buf []byte) (n int64, err error) {
	for {
		k, urgent, rerr := src.ReadUrgent(buf)
		if k > 0 {
			var werr error
			if urgent {
				werr = dst.WriteUrgent(buf[0])
			} else {
				k, werr = dst.Write(buf[:k])
			}
			n += int64(k)
			if werr != nil {
				return n, werr
			}
		}
		if rerr == io.EOF {
			return n, nil
		}
		if rerr != nil {
			return n, rerr
		}
	}
}
