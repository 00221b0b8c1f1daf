package difftest

import (
	"encoding/binary"
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A question is a packet and where it goes to.
type question struct {
	established bool // else the endpoint has no association
	tag         uint32
	chunks      []wire.Chunk
	partial     bool // what follows the last whole chunk is none
}

func questionOf(established bool, packet []byte) question {
	q := question{established: established, chunks: chunks(packet)}
	if len(packet) >= wire.HeaderLen {
		q.tag = binary.BigEndian.Uint32(packet[4:])
		rest := packet[wire.HeaderLen:]
		for range q.chunks {
			_, rest, _ = wire.NextChunk(rest)
		}
		q.partial = len(rest) > 0
	}
	return q
}

// begins reports whether a chunk of a type is the first.
func (q question) begins(t wire.ChunkType) bool { return len(q.chunks) > 0 && q.chunks[0].Type == t }

func (q question) has(types ...wire.ChunkType) bool {
	return slices.ContainsFunc(q.chunks, func(c wire.Chunk) bool { return slices.Contains(types, c.Type) })
}

// stale reports whether an ERROR chunk begins with the cause "Stale Cookie".
func (q question) stale() bool {
	return slices.ContainsFunc(q.chunks, func(c wire.Chunk) bool {
		cause, _, ok := wire.NextCause(c.Value)
		return c.Type == wire.TypeError && ok && cause.Code == wire.CauseStaleCookie
	})
}

// init returns the INIT that is the first chunk.
func (q question) init() (in wire.Init, ok bool) {
	if !q.begins(wire.TypeInit) {
		return in, false
	}
	return wire.ParseInit(q.chunks[0])
}

// params are the parameters of the INIT, and whether they are all whole.
func (q question) params() (all []wire.Param, whole bool) {
	in, ok := q.init()
	for rest := in.Params; ok && len(rest) > 0; {
		var p wire.Param
		if p, rest, ok = wire.NextParam(rest); ok {
			all = append(all, p)
		}
	}
	return all, ok
}

// hasParam reports whether the INIT has a parameter of a type.
func (q question) hasParam(types ...wire.ParamType) bool {
	all, _ := q.params()
	return slices.ContainsFunc(all, func(p wire.Param) bool { return slices.Contains(types, p.Type) })
}

// unreadable reports whether a parameter of the INIT is cut, or is an address
// with the length of none.
func (q question) unreadable() bool {
	all, whole := q.params()
	return q.begins(wire.TypeInit) && (!whole || slices.ContainsFunc(all, func(p wire.Param) bool {
		return p.Type == wire.ParamIPv4 && len(p.Value) != 4 || p.Type == wire.ParamIPv6 && len(p.Value) != 16
	}))
}

// listsASCONF reports whether the INIT says that its sender has chunks of RFC
// 5061.
func (q question) listsASCONF() bool {
	all, _ := q.params()
	return slices.ContainsFunc(all, func(p wire.Param) bool {
		return p.Type == wire.ParamSupportedExt && (slices.Contains(p.Value, byte(wire.TypeAsconf)) || slices.Contains(p.Value, byte(wire.TypeAsconfAck)))
	})
}

// dataNotLast reports whether something follows a DATA chunk that is none.
func (q question) dataNotLast() bool {
	data := false
	for _, c := range q.chunks {
		if data && c.Type != wire.TypeData {
			return true
		}
		data = data || c.Type == wire.TypeData
	}
	return data && q.partial
}

// misshapen reports whether a chunk has a length that its type does not allow.
func (q question) misshapen() bool {
	return slices.ContainsFunc(q.chunks, func(c wire.Chunk) bool {
		n := len(c.Value)
		switch c.Type {
		case wire.TypeData:
			return n <= wire.DataHeaderLen-wire.ChunkHeaderLen
		case wire.TypeSack:
			_, ok := wire.ParseSack(c)
			return !ok
		case wire.TypeShutdown:
			return n != 4
		case wire.TypeShutdownAck, wire.TypeCookieAck, wire.TypeShutdownComplete:
			return n != 0
		case wire.TypeInit, wire.TypeInitAck:
			_, ok := wire.ParseInit(c)
			return !ok
		}
		return false
	})
}
