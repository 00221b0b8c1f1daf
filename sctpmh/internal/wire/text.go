package wire

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// The text form of a packet:
//
//	4000>5000 tag=1a2b3c4d DATA{flags=BE tsn=7 sid=1 ssn=0 ppid=7 data=6869} SACK{cum=9 rwnd=1000 gaps=2-3,5-5}
//
// Chunks without a form of their own, and malformed ones, show type and
// value; what follows the last whole chunk is GARBAGE. Octet strings are in
// hexadecimal, those of more than textOctets octets as ~LENGTH, which reads
// back as so many zeros.
const textOctets = 32

// chunkNames are the chunks that the text form knows by name.
var chunkNames = map[ChunkType]string{
	TypeData: "DATA", TypeInit: "INIT", TypeInitAck: "INIT-ACK", TypeSack: "SACK",
	TypeHeartbeat: "HEARTBEAT", TypeHeartbeatAck: "HEARTBEAT-ACK", TypeAbort: "ABORT",
	TypeShutdown: "SHUTDOWN", TypeShutdownAck: "SHUTDOWN-ACK", TypeError: "ERROR",
	TypeCookieEcho: "COOKIE-ECHO", TypeCookieAck: "COOKIE-ACK", TypeECNE: "ECNE", TypeCWR: "CWR",
	TypeShutdownComplete: "SHUTDOWN-COMPLETE", TypeAuth: "AUTH", TypeIData: "I-DATA", TypeDTLS: "DTLS",
	TypeAsconfAck: "ASCONF-ACK", TypeReconfig: "RE-CONFIG", TypePad: "PAD", TypeForwardTSN: "FORWARD-TSN",
	TypeAsconf: "ASCONF", TypeIForwardTSN: "I-FORWARD-TSN",
}

func (t ChunkType) String() string {
	if s, ok := chunkNames[t]; ok {
		return s
	}
	return fmt.Sprintf("CHUNK-%02x", uint8(t))
}

// Text returns the text form of a packet.
func Text(packet []byte) string { return string(AppendText(nil, packet)) }

// AppendText appends the text form of a packet. It takes any input.
func AppendText(b, packet []byte) []byte {
	h, ok := ParseHeader(packet)
	if !ok {
		return appendOctets(append(b, "GARBAGE{value="...), packet, '}')
	}
	b = fmt.Appendf(b, "%d>%d tag=%08x", h.SrcPort, h.DstPort, uint32(h.Tag))
	for rest := packet[HeaderLen:]; len(rest) > 0; {
		c, next, ok := NextChunk(rest)
		if !ok {
			return appendOctets(append(b, " GARBAGE{value="...), rest, '}')
		}
		b = appendChunkText(append(b, ' '), c)
		rest = next
	}
	return b
}

// appendChunkText appends one chunk: by its fields if writing these again
// gives the same octets, else by its value.
func appendChunkText(b []byte, c Chunk) []byte {
	b = append(b, c.Type.String()...)
	b = append(b, '{')
	start := len(b)
	if fields, ok := appendFields(b, c); ok {
		return append(trimSpace(fields, start), '}')
	}
	b = b[:start]
	if c.Flags != 0 {
		b = fmt.Appendf(b, "flags=%02x ", c.Flags)
	}
	if len(c.Value) > 0 {
		b = appendOctets(append(b, "value="...), c.Value, ' ')
	}
	return append(trimSpace(b, start), '}')
}

func trimSpace(b []byte, start int) []byte {
	for len(b) > start && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}

// appendFields appends the fields of a chunk whose form is known and clean.
func appendFields(b []byte, c Chunk) ([]byte, bool) {
	switch c.Type {
	case TypeData:
		d, ok := ParseData(c)
		if !ok || c.Flags&^(FlagI|FlagU|FlagB|FlagE) != 0 {
			return b, false
		}
		b = appendDataFlags(b, c.Flags)
		b = fmt.Appendf(b, "tsn=%d sid=%d ssn=%d ppid=%d ", d.TSN, d.Stream, d.SSN, d.PPID)
		return appendOctets(append(b, "data="...), d.Payload, ' '), true
	case TypeInit, TypeInitAck:
		in, ok := ParseInit(c)
		if !ok || c.Flags != 0 {
			return b, false
		}
		b = fmt.Appendf(b, "tag=%08x rwnd=%d os=%d is=%d tsn=%d ", uint32(in.Tag), in.ARwnd, in.OutStreams, in.InStreams, in.TSN)
		return appendTLVs(b, in.Params, 'p')
	case TypeSack:
		s, ok := ParseSack(c)
		if !ok || c.Flags != 0 {
			return b, false
		}
		return appendSackFields(b, s), true
	case TypeShutdown:
		cum, ok := ParseShutdown(c)
		return fmt.Appendf(b, "cum=%d ", cum), ok && c.Flags == 0
	case TypeHeartbeat, TypeHeartbeatAck:
		info, ok := HeartbeatInfo(c)
		return appendOctets(append(b, "info="...), info, ' '), ok && c.Flags == 0 && len(info)%4 == 0
	case TypeAbort, TypeError, TypeShutdownComplete:
		if c.Flags&^FlagT != 0 || c.Type == TypeError && c.Flags != 0 {
			return b, false
		}
		if c.Flags != 0 {
			b = append(b, "flags=T "...)
		}
		return appendTLVs(b, c.Value, 'c')
	}
	return b, false
}

func appendDataFlags(b []byte, flags uint8) []byte {
	if flags == 0 {
		return b
	}
	b = append(b, "flags="...)
	for i, f := range []uint8{FlagI, FlagU, FlagB, FlagE} {
		if flags&f != 0 {
			b = append(b, dataFlags[i])
		}
	}
	return append(b, ' ')
}

const dataFlags = "IUBE"

func appendSackFields(b []byte, s Sack) []byte {
	b = fmt.Appendf(b, "cum=%d rwnd=%d ", s.CumTSN, s.ARwnd)
	for i := range s.NumGaps() {
		g := s.Gap(i)
		b = fmt.Appendf(append(b, listSeparator("gaps=", i)...), "%d-%d", g.Start, g.End)
	}
	if s.NumGaps() > 0 {
		b = append(b, ' ')
	}
	for i := range s.NumDups() {
		b = strconv.AppendUint(append(b, listSeparator("dups=", i)...), uint64(s.Dup(i)), 10)
	}
	return b
}

func listSeparator(key string, i int) string {
	if i == 0 {
		return key
	}
	return ","
}

// appendTLVs appends parameters as pTYPE=VALUE and causes as cTYPE=VALUE,
// addresses readable.
func appendTLVs(b, tlvs []byte, kind byte) ([]byte, bool) {
	for len(tlvs) > 0 {
		t, v, raw, rest, ok := nextTLV(tlvs)
		if !ok || !isZero(tlvs[len(raw):len(tlvs)-len(rest)]) {
			return b, false
		}
		p := Param{Type: ParamType(t), Value: v, Raw: raw}
		if addr, ok := p.Addr(); ok && kind == 'p' && !addr.Is4In6() {
			b = fmt.Appendf(b, "addr=%v ", addr)
		} else {
			b = appendOctets(fmt.Appendf(b, "%c%04x=", kind, t), v, ' ')
		}
		tlvs = rest
	}
	return b, true
}

func isZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// appendOctets appends an octet string and what ends it.
func appendOctets(b, v []byte, end byte) []byte {
	if len(v) > textOctets {
		b = append(b, '~')
		b = strconv.AppendInt(b, int64(len(v)), 10)
	} else {
		b = hex.AppendEncode(b, v)
	}
	return append(b, end)
}
