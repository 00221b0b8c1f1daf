package wire

import "encoding/binary"

// Init is an INIT or INIT ACK chunk (sections 3.3.2 and 3.3.3).
type Init struct {
	Tag                   Tag // Initiate Tag
	ARwnd                 uint32
	OutStreams, InStreams uint16
	TSN                   TSN    // Initial TSN
	Params                []byte // for NextParam
}

const initLen = 16

// ParseInit reads an INIT or INIT ACK; the parameters are not looked at.
func ParseInit(c Chunk) (Init, bool) {
	v := c.Value
	if len(v) < initLen {
		return Init{}, false
	}
	return Init{
		Tag:        Tag(binary.BigEndian.Uint32(v)),
		ARwnd:      binary.BigEndian.Uint32(v[4:]),
		OutStreams: binary.BigEndian.Uint16(v[8:]),
		InStreams:  binary.BigEndian.Uint16(v[10:]),
		TSN:        TSN(binary.BigEndian.Uint32(v[12:])),
		Params:     v[initLen:],
	}, true
}

// AppendInit appends an INIT or INIT ACK, as t says.
func AppendInit(b []byte, t ChunkType, in Init) []byte {
	b, start := beginTLV(b, byte(t), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(in.Tag))
	b = binary.BigEndian.AppendUint32(b, in.ARwnd)
	b = binary.BigEndian.AppendUint16(b, in.OutStreams)
	b = binary.BigEndian.AppendUint16(b, in.InStreams)
	b = binary.BigEndian.AppendUint32(b, uint32(in.TSN))
	return endTLV(append(b, unpadded(in.Params)...), start)
}
