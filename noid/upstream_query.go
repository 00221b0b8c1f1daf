package noid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/miekg/dns"
)

// queryFlags are the bits of a query that validation needs (RFC 4035).
type queryFlags uint8

const (
	withDO queryFlags = 1 << iota // have the records of DNSSEC sent along (section 3.2.1)
	withCD                        // have the answer sent even if it is bogus for the server (section 3.2.2)
)

// newQuery makes a query without id: each try has another.
func newQuery(name string, qtype uint16, flags queryFlags) *dns.Msg {
	q := new(dns.Msg)
	q.SetQuestion(name, qtype)
	q.SetEdns0(ednsSize, flags&withDO != 0)
	q.CheckingDisabled = flags&withCD != 0
	q.AuthenticatedData = true // asks for AD in the answer (RFC 6840 section 5.7)
	return q
}

// pack returns the query on the wire with an id. Where nobody on the way can
// read it, its length must not tell either: padded makes it a multiple of 128
// octets (RFC 8467 section 4.1).
func pack(q *dns.Msg, id uint16, padded bool) ([]byte, error) {
	const block, optionHeader = 128, 4
	m := q.Copy() // servers are asked at the same time
	m.Id = id
	if opt := m.IsEdns0(); padded && opt != nil {
		n := m.Len() + optionHeader
		opt.Option = append(opt.Option, &dns.EDNS0_PADDING{Padding: make([]byte, (block-n%block)%block)})
	}
	return m.Pack()
}

// newID draws the id of a query. It comes from the system's randomness: off the
// path it can only be guessed (RFC 5452 section 4.3).
func newID() uint16 { return dns.Id() }

var errStray = errors.New("not the answer to the question")

// unpack reads an answer and checks that it is one to the query with the id:
// for the same name, type and class (RFC 5452 section 9.1).
func unpack(b []byte, q *dns.Msg, id uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	if err := m.Unpack(b); err != nil {
		return nil, fmt.Errorf("%w: %w", errStray, err)
	}
	if !m.Response || m.Id != id || m.Opcode != dns.OpcodeQuery || len(m.Question) != 1 {
		return nil, errStray
	}
	got, want := m.Question[0], q.Question[0]
	if !strings.EqualFold(got.Name, want.Name) || got.Qtype != want.Qtype || got.Qclass != want.Qclass {
		return nil, errStray
	}
	return m, nil
}

// writeFrame sends a message over a stream (RFC 1035 section 4.2.2), in one
// piece: in two the second may wait for an acknowledgement of the first.
func writeFrame(c net.Conn, b []byte) error {
	frame := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b)))
	_, err := c.Write(append(frame, b...))
	return err
}

// readFrame reads a message from a stream.
func readFrame(r io.Reader) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(n[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

// rcodeText says why a server has no answer, with the extended errors that it
// gives (RFC 8914).
func rcodeText(m *dns.Msg) string {
	s := dns.RcodeToString[m.Rcode]
	if s == "" {
		s = fmt.Sprintf("RCODE %d", m.Rcode)
	}
	for _, e := range extended(m) {
		s += fmt.Sprintf(", extended error %d %s", e.InfoCode, dns.ExtendedErrorCodeToString[e.InfoCode])
		if e.ExtraText != "" {
			s += " " + quote(e.ExtraText)
		}
	}
	return s
}

// bogus reports whether a server says that validation failed (RFC 8914
// sections 4.7 to 4.13).
func bogus(m *dns.Msg) bool {
	if m.Rcode != dns.RcodeServerFailure {
		return false
	}
	for _, e := range extended(m) {
		if e.InfoCode >= dns.ExtendedErrorCodeDNSBogus && e.InfoCode <= dns.ExtendedErrorCodeNSECMissing {
			return true
		}
	}
	return false
}

func extended(m *dns.Msg) (out []*dns.EDNS0_EDE) {
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if e, ok := o.(*dns.EDNS0_EDE); ok && len(out) < maxExtended {
			out = append(out, e)
		}
	}
	return out
}
