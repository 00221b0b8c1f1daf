package wire

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseText reads the text form of a packet, see [Text]. The checksum of the
// result is right. Errors name the chunk and the field.
func ParseText(s string) (packet []byte, err error) {
	head, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	tagWord, rest, _ := strings.Cut(rest, " ")
	var h Header
	var tag uint32
	if _, err := fmt.Sscanf(head+" "+tagWord, "%d>%d tag=%x", &h.SrcPort, &h.DstPort, &tag); err != nil {
		return nil, fmt.Errorf("packet %q: want SRC>DST tag=HEX: %w", s, err)
	}
	h.Tag = Tag(tag)
	packet = AppendHeader(nil, h)
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		name, after, ok := strings.Cut(rest, "{")
		body, next, closed := strings.Cut(after, "}")
		if !ok || !closed {
			return nil, fmt.Errorf("chunk %q: want NAME{KEY=VALUE ...}", rest)
		}
		f := fields{chunk: name}
		f.parse(body)
		if packet = f.appendChunk(packet); f.err != nil {
			return nil, f.err
		}
		rest = next
	}
	SetChecksum(packet)
	return packet, nil
}

// fields are the keys and values of a chunk in text form. The first error
// sticks.
type fields struct {
	chunk string
	list  []field
	err   error
}

type field struct{ key, value string }

func (f *fields) parse(body string) {
	for _, word := range strings.Fields(body) {
		k, v, ok := strings.Cut(word, "=")
		if !ok {
			f.fail(word, "want KEY=VALUE")
		}
		f.list = append(f.list, field{k, v})
	}
}

func (f *fields) fail(key, why string) {
	if f.err == nil {
		f.err = fmt.Errorf("chunk %s, field %s: %s", f.chunk, key, why)
	}
}

// take removes a field and returns its value, "" when it is not there.
func (f *fields) take(key string) string {
	for i, x := range f.list {
		if x.key == key {
			f.list = append(f.list[:i:i], f.list[i+1:]...)
			return x.value
		}
	}
	return ""
}

func (f *fields) number(key string, base, bits int) uint64 {
	v := f.take(key)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, base, bits)
	if err != nil {
		f.fail(key, err.Error())
	}
	return n
}

func (f *fields) octets(key string) []byte { return f.decode(key, f.take(key)) }

func (f *fields) decode(key, v string) []byte {
	if n, ok := strings.CutPrefix(v, "~"); ok {
		length, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			f.fail(key, err.Error())
		}
		return make([]byte, length)
	}
	b, err := hex.DecodeString(v)
	if err != nil {
		f.fail(key, err.Error())
	}
	return b
}

// letters reads flags as letters; anything else is a number in hexadecimal.
func (f *fields) flags() uint8 {
	v := f.take("flags")
	var flags uint8
	for _, c := range v {
		switch i := strings.IndexRune(dataFlags, c); {
		case c == 'T':
			flags |= FlagT
		case i >= 0:
			flags |= FlagI >> i
		default:
			n, err := strconv.ParseUint(v, 16, 8)
			if err != nil {
				f.fail("flags", err.Error())
			}
			return uint8(n)
		}
	}
	return flags
}

func (f *fields) appendChunk(b []byte) []byte {
	if f.chunk == "GARBAGE" {
		return append(b, f.octets("value")...)
	}
	t, ok := chunkType(f.chunk)
	if !ok {
		f.fail("type", "unknown chunk")
		return b
	}
	start := len(b)
	flags, value := f.flags(), []byte(nil)
	for _, x := range f.list {
		if x.key == "value" {
			value = f.octets("value")
		}
	}
	switch {
	case value != nil:
		b = AppendChunk(b, t, flags, value)
	case len(f.list) == 0:
		b = AppendChunk(b, t, flags, nil)
	default:
		b = f.appendKnown(b, t)
		b[start+1] = flags
	}
	for _, x := range f.list {
		f.fail(x.key, "unknown field")
	}
	if len(b)-start > 0xFFFF {
		f.fail("value", "too long")
	}
	return b
}

// appendKnown appends a chunk by its fields; the caller sets the flags.
func (f *fields) appendKnown(b []byte, t ChunkType) []byte {
	switch t {
	case TypeData:
		d := Data{
			TSN: TSN(f.number("tsn", 10, 32)), Stream: StreamID(f.number("sid", 10, 16)), SSN: SSN(f.number("ssn", 10, 16)),
			PPID: PPID(f.number("ppid", 10, 32)), Payload: f.octets("data"),
		}
		return f.bounded(b, len(d.Payload), func() []byte { return AppendData(b, &d) })
	case TypeInit, TypeInitAck:
		in := Init{
			Tag: Tag(f.number("tag", 16, 32)), ARwnd: uint32(f.number("rwnd", 10, 32)),
			OutStreams: uint16(f.number("os", 10, 16)), InStreams: uint16(f.number("is", 10, 16)),
			TSN: TSN(f.number("tsn", 10, 32)), Params: f.tlvs('p'),
		}
		return f.bounded(b, len(in.Params), func() []byte { return AppendInit(b, t, in) })
	case TypeSack:
		return f.appendSack(b)
	case TypeShutdown:
		return AppendShutdown(b, TSN(f.number("cum", 10, 32)))
	case TypeHeartbeat, TypeHeartbeatAck:
		info := f.octets("info")
		return f.bounded(b, len(info), func() []byte { return AppendHeartbeat(b, t, info) })
	}
	causes := f.tlvs('c')
	return f.bounded(b, len(causes), func() []byte { return AppendError(b, t, 0, causes) })
}

// bounded writes a chunk unless its variable part is too long for one.
func (f *fields) bounded(b []byte, n int, write func() []byte) []byte {
	if n > 0xFFFF-64 {
		f.fail("length", "exceeds a chunk")
		return append(b, 0, 0, 0, 0)
	}
	return write()
}

func (f *fields) appendSack(b []byte) []byte {
	cum, rwnd := f.number("cum", 10, 32), f.number("rwnd", 10, 32)
	var gaps []Gap
	for _, s := range splitList(f.take("gaps")) {
		var g Gap
		if _, err := fmt.Sscanf(s, "%d-%d", &g.Start, &g.End); err != nil {
			f.fail("gaps", err.Error())
		}
		gaps = append(gaps, g)
	}
	var dups []TSN
	for _, s := range splitList(f.take("dups")) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			f.fail("dups", err.Error())
		}
		dups = append(dups, TSN(n))
	}
	return f.bounded(b, 4*(len(gaps)+len(dups)), func() []byte { return AppendSack(b, TSN(cum), uint32(rwnd), gaps, dups) })
}

func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// tlvs takes the parameters or causes, in the order they stand.
func (f *fields) tlvs(kind byte) (b []byte) {
	var left []field
	for _, x := range f.list {
		t, err := strconv.ParseUint(strings.TrimPrefix(x.key, string(kind)), 16, 16)
		switch {
		case x.key == "addr" && kind == 'p':
			addr, err := netip.ParseAddr(x.value)
			if err != nil || addr.Zone() != "" {
				f.fail(x.key, "want an IP address")
			}
			b = AppendAddrParam(b, addr)
		case err == nil && x.key[0] == kind:
			v := f.decode(x.key, x.value)
			if len(v) > 0xFFFF-64 {
				f.fail(x.key, "too long")
				v = nil
			}
			b = AppendParam(b, ParamType(t), v)
		default:
			left = append(left, x)
		}
	}
	f.list = left
	return b
}

// chunkType reads a chunk's name.
func chunkType(name string) (ChunkType, bool) {
	if n, ok := strings.CutPrefix(name, "CHUNK-"); ok {
		t, err := strconv.ParseUint(n, 16, 8)
		return ChunkType(t), err == nil
	}
	for t := range 256 {
		if ChunkType(t).String() == name {
			return ChunkType(t), true
		}
	}
	return 0, false
}
