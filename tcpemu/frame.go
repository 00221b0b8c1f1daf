package tcpemu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Numbers of the wire format, which docs/tcp-emulation.md specifies.
const (
	// AdaptationCode is the Adaptation Layer Indication (RFC 5061 section 4.2.6)
	// that endpoints of this package announce: sctpmh.Config.Adaptation.
	AdaptationCode uint32 = 0x6D680001

	ppidData uint32 = 0x6D680001
	ppidCtrl uint32 = 0x6D680002

	protocolVersion = 1

	maxName = 255 // octets of a name or of an error's text
	maxVia  = 4   // gateways that a connection may pass
)

// frameType is the type of a CTRL message.
type frameType uint8

const (
	typeHello    frameType = 1
	typePing     frameType = 3
	typePong     frameType = 4
	typeGoAway   frameType = 5
	typeOpen     frameType = 16
	typeOpenOK   frameType = 17
	typeOpenFail frameType = 18
	typeFin      frameType = 19
	typeReset    frameType = 20
	typeCredit   frameType = 21
	typeUrg      frameType = 22
	typeReturn   frameType = 23
)

// tlv is the type of a TLV.
type tlv uint8

const (
	tlvVersion tlv = 1 + iota
	tlvNonce
	tlvName
	tlvStreams
	tlvCredit
	tlvSeen
	tlvEpoch
	tlvHops
	tlvTarget
	tlvVia
	tlvCode
	tlvText
	tlvOffset
	tlvOpaque
	tlvFlags
	tlvOctet
	tlvReturns
	tlvFrom
	tlvEnd
)

// A frame is a CTRL message; which fields matter depends on the type.
type frame struct {
	typ frameType

	version uint8
	nonce   uint64
	name    string
	streams uint16
	credit  uint64
	seen    netip.AddrPort // the address of the other side, or the bound one
	epoch   uint32
	hops    uint8
	target  Target
	via     []uint64
	code    Code
	text    string
	offset  uint64
	opaque  uint64
	flags   helloFlags
	octet   uint8  // an urgent one
	from    uint16 // the opener's port, 0: none
	returns uint32 // how many RETURNs of the use were received
}

// helloFlags say what a side does on an association.
type helloFlags uint8

const (
	helloDialled helloFlags = 1 << iota // it dialled
	helloAccepts                        // it takes connections that the other side opens
	helloReturns                        // it takes RETURN
)

// A Target is where a connection is to go: a port of the peer itself, or a
// port at another address or name that the peer is asked to reach.
type Target struct {
	Name string     // a host name without the trailing dot, or ""
	Addr netip.Addr // or the zero Addr; one that is valid is taken before Name
	Port uint16     // of TCP
}

// Own reports whether the target is the peer itself.
func (t Target) Own() bool { return t.Name == "" && !t.Addr.IsValid() }

// String returns the target as host:port, ":port" for the peer itself.
func (t Target) String() string {
	switch {
	case t.Addr.IsValid():
		return netip.AddrPortFrom(t.Addr, t.Port).String()
	default:
		return fmt.Sprintf("%s:%d", t.Name, t.Port)
	}
}

// layout says which TLVs a type has: required, then optional ones.
var layout = map[frameType]struct{ required, optional []tlv }{
	typeHello:    {[]tlv{tlvVersion, tlvNonce, tlvFlags, tlvStreams, tlvCredit}, []tlv{tlvName, tlvSeen}},
	typePing:     {[]tlv{tlvOpaque}, nil},
	typePong:     {[]tlv{tlvOpaque}, nil},
	typeGoAway:   {[]tlv{tlvCode}, nil},
	typeOpen:     {[]tlv{tlvEpoch, tlvTarget, tlvCredit}, []tlv{tlvHops, tlvVia, tlvFrom}},
	typeOpenOK:   {[]tlv{tlvEpoch, tlvCredit}, []tlv{tlvSeen}},
	typeOpenFail: {[]tlv{tlvEpoch, tlvCode}, []tlv{tlvText}},
	typeFin:      {[]tlv{tlvOffset}, nil},
	typeReset:    {[]tlv{tlvEpoch, tlvCode}, nil},
	typeCredit:   {[]tlv{tlvEpoch, tlvOffset}, []tlv{tlvReturns}},
	typeUrg:      {[]tlv{tlvOffset, tlvOctet}, nil},
	typeReturn:   {[]tlv{tlvOffset}, nil},
}

var errMalformed = errors.New("malformed control message")

// append appends the frame.
func (f *frame) append(b []byte) []byte {
	b = append(b, byte(f.typ))
	l := layout[f.typ]
	for _, t := range l.required {
		b = f.appendTLV(b, t)
	}
	for _, t := range l.optional {
		b = f.appendTLV(b, t)
	}
	return b
}

// appendTLV appends one TLV; an optional one that is empty appends nothing.
func (f *frame) appendTLV(b []byte, t tlv) []byte {
	start := len(b)
	b = append(b, byte(t), 0, 0)
	switch t {
	case tlvVersion:
		b = append(b, f.version)
	case tlvNonce:
		b = binary.BigEndian.AppendUint64(b, f.nonce)
	case tlvName:
		b = append(b, f.name[:min(len(f.name), maxName)]...)
	case tlvStreams:
		b = binary.BigEndian.AppendUint16(b, f.streams)
	case tlvCredit:
		b = binary.BigEndian.AppendUint64(b, f.credit)
	case tlvSeen:
		if f.seen.IsValid() {
			b = binary.BigEndian.AppendUint16(append(b, f.seen.Addr().AsSlice()...), f.seen.Port())
		}
	case tlvEpoch:
		b = binary.BigEndian.AppendUint32(b, f.epoch)
	case tlvHops:
		if f.hops > 0 {
			b = append(b, f.hops)
		}
	case tlvTarget:
		b = f.target.append(b)
	case tlvVia:
		for _, id := range f.via[:min(len(f.via), maxVia)] {
			b = binary.BigEndian.AppendUint64(b, id)
		}
	case tlvCode:
		b = append(b, byte(f.code))
	case tlvText:
		b = append(b, f.text[:min(len(f.text), maxName)]...)
	case tlvOffset:
		b = binary.BigEndian.AppendUint64(b, f.offset)
	case tlvOpaque:
		b = binary.BigEndian.AppendUint64(b, f.opaque)
	case tlvFlags:
		b = append(b, byte(f.flags))
	case tlvOctet:
		b = append(b, f.octet)
	case tlvFrom:
		if f.from > 0 {
			b = binary.BigEndian.AppendUint16(b, f.from)
		}
	case tlvReturns:
		if f.returns > 0 {
			b = binary.BigEndian.AppendUint32(b, f.returns)
		}
	}
	n := len(b) - start - 3
	if n == 0 {
		return b[:start]
	}
	binary.BigEndian.PutUint16(b[start+1:], uint16(n))
	return b
}

func (t Target) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, t.Port)
	switch {
	case t.Addr.IsValid():
		return append(append(b, 1), t.Addr.Unmap().AsSlice()...)
	case t.Name != "":
		return append(append(b, 2), t.Name[:min(len(t.Name), maxName)]...)
	}
	return b
}

// parseFrame reads a CTRL message. known is false for a type from 128 on that
// this version does not have, which is ignored.
func parseFrame(b []byte) (f frame, known bool, err error) {
	if len(b) == 0 {
		return f, false, errMalformed
	}
	f.typ = frameType(b[0])
	l, known := layout[f.typ]
	if !known {
		if b[0] >= 128 {
			return f, false, nil
		}
		return f, false, fmt.Errorf("%w: unknown type %d", errMalformed, b[0])
	}
	var got [tlvEnd]bool
	for b = b[1:]; len(b) > 0; {
		if len(b) < 3 {
			return f, true, fmt.Errorf("%w: type %d ends within a TLV", errMalformed, f.typ)
		}
		t, n := tlv(b[0]), int(binary.BigEndian.Uint16(b[1:]))
		if n > len(b)-3 {
			return f, true, fmt.Errorf("%w: type %d: TLV %d is cut off", errMalformed, f.typ, t)
		}
		v := b[3 : 3+n]
		b = b[3+n:]
		if !slices.Contains(l.required, t) && !slices.Contains(l.optional, t) {
			continue // of a later version
		}
		if got[t] || !f.parseTLV(t, v) {
			return f, true, fmt.Errorf("%w: type %d: TLV %d is wrong", errMalformed, f.typ, t)
		}
		got[t] = true
	}
	for _, t := range l.required {
		if !got[t] {
			return f, true, fmt.Errorf("%w: type %d lacks TLV %d", errMalformed, f.typ, t)
		}
	}
	return f, true, nil
}

func (f *frame) parseTLV(t tlv, v []byte) (ok bool) {
	switch t {
	case tlvVersion:
		return octet(&f.version, v)
	case tlvNonce:
		return number64(&f.nonce, v)
	case tlvName:
		f.name = string(v)
		return validName(f.name)
	case tlvStreams:
		return number16(&f.streams, v)
	case tlvCredit:
		return number64(&f.credit, v)
	case tlvSeen:
		if len(v) < 6 {
			return false
		}
		a, ok := netip.AddrFromSlice(v[:len(v)-2])
		f.seen = netip.AddrPortFrom(a, binary.BigEndian.Uint16(v[len(v)-2:]))
		return ok
	case tlvEpoch:
		return number32(&f.epoch, v)
	case tlvHops:
		return octet(&f.hops, v)
	case tlvTarget:
		return f.target.parse(v)
	case tlvVia:
		for ; len(v) >= 8 && len(f.via) < maxVia; v = v[8:] {
			f.via = append(f.via, binary.BigEndian.Uint64(v))
		}
		return len(v) == 0
	case tlvCode:
		return octet((*uint8)(&f.code), v)
	case tlvText:
		f.text = printable(v)
		return len(v) <= maxName
	case tlvOffset:
		return number64(&f.offset, v)
	case tlvOpaque:
		return number64(&f.opaque, v)
	case tlvFlags:
		return octet((*uint8)(&f.flags), v)
	case tlvOctet:
		return octet(&f.octet, v)
	case tlvFrom:
		return number16(&f.from, v)
	case tlvReturns:
		return number32(&f.returns, v)
	}
	return true
}

func (t *Target) parse(v []byte) bool {
	if len(v) < 2 {
		return false
	}
	t.Port = binary.BigEndian.Uint16(v)
	if v = v[2:]; len(v) == 0 {
		return true
	}
	switch kind := v[0]; kind {
	case 1:
		a, ok := netip.AddrFromSlice(v[1:])
		t.Addr = a.Unmap()
		return ok
	case 2:
		t.Name = string(v[1:])
		return t.Name != "" && validName(t.Name)
	}
	return false
}

// validName bounds what a peer may call itself or ask for: printable, no
// spaces, of a host name's length. Whether it is one is the resolver's matter.
func validName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= maxName
}

// printable returns a peer's text fit for a log.
func printable(v []byte) string {
	out := make([]byte, 0, min(len(v), maxName))
	for _, c := range v[:min(len(v), maxName)] {
		if c < ' ' || c > '~' {
			c = '.'
		}
		out = append(out, c)
	}
	return string(out)
}

func octet(p *uint8, v []byte) bool {
	if len(v) == 1 {
		*p = v[0]
	}
	return len(v) == 1
}

func number16(p *uint16, v []byte) bool {
	if len(v) == 2 {
		*p = binary.BigEndian.Uint16(v)
	}
	return len(v) == 2
}

func number32(p *uint32, v []byte) bool {
	if len(v) == 4 {
		*p = binary.BigEndian.Uint32(v)
	}
	return len(v) == 4
}

func number64(p *uint64, v []byte) bool {
	if len(v) == 8 {
		*p = binary.BigEndian.Uint64(v)
	}
	return len(v) == 8
}
