package wire

import "encoding/binary"

// A Gap is a gap acknowledgement block: chunks received beyond a hole, as
// offsets from the cumulative TSN (section 3.3.4).
type Gap struct{ Start, End uint16 }

// Sack is a view of a SACK chunk.
type Sack struct {
	CumTSN TSN
	ARwnd  uint32

	gaps, dups []byte
}

const sackLen = 12

// ParseSack reads a SACK. Its counts must match its length exactly.
func ParseSack(c Chunk) (Sack, bool) {
	v := c.Value
	if len(v) < sackLen {
		return Sack{}, false
	}
	gaps, dups := 4*int(binary.BigEndian.Uint16(v[8:])), 4*int(binary.BigEndian.Uint16(v[10:]))
	if len(v) != sackLen+gaps+dups {
		return Sack{}, false
	}
	return Sack{
		CumTSN: TSN(binary.BigEndian.Uint32(v)),
		ARwnd:  binary.BigEndian.Uint32(v[4:]),
		gaps:   v[sackLen : sackLen+gaps],
		dups:   v[sackLen+gaps:],
	}, true
}

// NumGaps returns the number of gap blocks.
func (s Sack) NumGaps() int { return len(s.gaps) / 4 }

// Gap returns block i.
func (s Sack) Gap(i int) Gap {
	return Gap{binary.BigEndian.Uint16(s.gaps[4*i:]), binary.BigEndian.Uint16(s.gaps[4*i+2:])}
}

// NumDups returns the number of duplicate TSNs.
func (s Sack) NumDups() int { return len(s.dups) / 4 }

// Dup returns duplicate i.
func (s Sack) Dup(i int) TSN { return TSN(binary.BigEndian.Uint32(s.dups[4*i:])) }

// Valid reports whether the gap blocks are ascending and do not overlap, and
// none reports the TSN that follows the cumulative one, which would then be
// the cumulative one itself.
func (s Sack) Valid() bool {
	prev := 1
	for i := range s.NumGaps() {
		g := s.Gap(i)
		if int(g.Start) <= prev || g.End < g.Start {
			return false
		}
		prev = int(g.End)
	}
	return true
}

// AppendSack appends a SACK.
func AppendSack(b []byte, cum TSN, arwnd uint32, gaps []Gap, dups []TSN) []byte {
	b, start := beginTLV(b, byte(TypeSack), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(cum))
	b = binary.BigEndian.AppendUint32(b, arwnd)
	b = binary.BigEndian.AppendUint16(b, uint16(len(gaps)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(dups)))
	for _, g := range gaps {
		b = binary.BigEndian.AppendUint16(b, g.Start)
		b = binary.BigEndian.AppendUint16(b, g.End)
	}
	for _, d := range dups {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return endTLV(b, start)
}
