package wire

import "encoding/binary"

// DataHeaderLen is the length of a DATA chunk without its payload.
const DataHeaderLen = 16

// Data is a DATA chunk (section 3.3.1).
type Data struct {
	Immediate, Unordered, Begin, End bool

	TSN     TSN
	Stream  StreamID
	SSN     SSN
	PPID    PPID
	Payload []byte
}

// ParseData reads a DATA chunk. An empty payload is no matter of form: the
// receiver answers it with an ABORT (section 3.3.10.9).
func ParseData(c Chunk) (Data, bool) {
	v := c.Value
	if len(v) < DataHeaderLen-ChunkHeaderLen {
		return Data{}, false
	}
	return Data{
		Immediate: c.Flags&FlagI != 0,
		Unordered: c.Flags&FlagU != 0,
		Begin:     c.Flags&FlagB != 0,
		End:       c.Flags&FlagE != 0,
		TSN:       TSN(binary.BigEndian.Uint32(v)),
		Stream:    StreamID(binary.BigEndian.Uint16(v[4:])),
		SSN:       SSN(binary.BigEndian.Uint16(v[6:])),
		PPID:      PPID(binary.BigEndian.Uint32(v[8:])),
		Payload:   v[12:],
	}, true
}

// AppendData appends a DATA chunk.
func AppendData(b []byte, d *Data) []byte {
	b, start := beginTLV(b, byte(TypeData), flag(d.Immediate, FlagI)|flag(d.Unordered, FlagU)|flag(d.Begin, FlagB)|flag(d.End, FlagE))
	b = binary.BigEndian.AppendUint32(b, uint32(d.TSN))
	b = binary.BigEndian.AppendUint16(b, uint16(d.Stream))
	b = binary.BigEndian.AppendUint16(b, uint16(d.SSN))
	b = binary.BigEndian.AppendUint32(b, uint32(d.PPID))
	return endTLV(append(b, d.Payload...), start)
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}
