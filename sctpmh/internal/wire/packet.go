package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// HeaderLen is the length of the common header (section 3.1).
const HeaderLen = 12

// Header is the common header of a packet.
type Header struct {
	SrcPort, DstPort uint16
	Tag              Tag
	Checksum         uint32 // as it stands in the packet
}

// ParseHeader reads the common header.
func ParseHeader(p []byte) (Header, bool) {
	if len(p) < HeaderLen {
		return Header{}, false
	}
	return Header{
		SrcPort:  binary.BigEndian.Uint16(p),
		DstPort:  binary.BigEndian.Uint16(p[2:]),
		Tag:      Tag(binary.BigEndian.Uint32(p[4:])),
		Checksum: binary.BigEndian.Uint32(p[8:]),
	}, true
}

// AppendHeader appends the common header with a zero checksum, which
// SetChecksum fills in once the packet is complete.
func AppendHeader(b []byte, h Header) []byte {
	b = binary.BigEndian.AppendUint16(b, h.SrcPort)
	b = binary.BigEndian.AppendUint16(b, h.DstPort)
	b = binary.BigEndian.AppendUint32(b, uint32(h.Tag))
	return append(b, 0, 0, 0, 0)
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeros      [4]byte
)

// checksum is the CRC32c of a packet with its checksum field taken as zero
// (section 6.8 and appendix A).
func checksum(p []byte) uint32 {
	c := crc32.Update(0, castagnoli, p[:8])
	c = crc32.Update(c, castagnoli, zeros[:])
	return crc32.Update(c, castagnoli, p[HeaderLen:])
}

// SetChecksum writes the checksum of a packet into it. Appendix A sends the
// CRC's octets least significant first.
func SetChecksum(p []byte) { binary.LittleEndian.PutUint32(p[8:], checksum(p)) }

// ChecksumOK reports whether a packet is whole and its checksum right.
func ChecksumOK(p []byte) bool {
	return len(p) >= HeaderLen && binary.LittleEndian.Uint32(p[8:]) == checksum(p)
}
