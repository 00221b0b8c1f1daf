package wire

import (
	"encoding/binary"
	"time"
)

// AppendInvalidStream appends the cause of a DATA chunk on a stream that does
// not exist (section 3.3.10.1).
func AppendInvalidStream(b []byte, id StreamID) []byte {
	return AppendCause(b, CauseInvalidStream, []byte{byte(id >> 8), byte(id), 0, 0})
}

// InvalidStream returns the stream that an invalid stream cause names.
func (c Cause) InvalidStream() (StreamID, bool) {
	if c.Code != CauseInvalidStream || len(c.Info) != 4 {
		return 0, false
	}
	return StreamID(binary.BigEndian.Uint16(c.Info)), true
}

// AppendMissingParams appends the cause of a chunk that lacks mandatory
// parameters (section 3.3.10.2).
func AppendMissingParams(b []byte, types ...ParamType) []byte {
	info := binary.BigEndian.AppendUint32(nil, uint32(len(types)))
	for _, t := range types {
		info = binary.BigEndian.AppendUint16(info, uint16(t))
	}
	return AppendCause(b, CauseMissingParam, info)
}

// MissingParam returns parameter type i of a missing parameter cause, and
// false behind the last one.
func (c Cause) MissingParam(i int) (ParamType, bool) {
	if c.Code != CauseMissingParam || len(c.Info) < 4 || i < 0 || uint32(i) >= binary.BigEndian.Uint32(c.Info) || 4+2*i+2 > len(c.Info) {
		return 0, false
	}
	return ParamType(binary.BigEndian.Uint16(c.Info[4+2*i:])), true
}

// AppendStaleCookie appends the cause of a cookie that came too late, by how
// much (section 3.3.10.3: in microseconds).
func AppendStaleCookie(b []byte, late time.Duration) []byte {
	us := min(max(late.Microseconds(), 0), 1<<32-1)
	return AppendCause(b, CauseStaleCookie, binary.BigEndian.AppendUint32(nil, uint32(us)))
}

// StaleCookie returns how late a cookie came.
func (c Cause) StaleCookie() (late time.Duration, ok bool) {
	if c.Code != CauseStaleCookie || len(c.Info) != 4 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint32(c.Info)) * time.Microsecond, true
}

// AppendNoUserData appends the cause of a DATA chunk without payload (section
// 3.3.10.9).
func AppendNoUserData(b []byte, tsn TSN) []byte {
	return AppendCause(b, CauseNoUserData, binary.BigEndian.AppendUint32(nil, uint32(tsn)))
}

// NoUserData returns the TSN of the chunk without payload.
func (c Cause) NoUserData() (TSN, bool) {
	if c.Code != CauseNoUserData || len(c.Info) != 4 {
		return 0, false
	}
	return TSN(binary.BigEndian.Uint32(c.Info)), true
}
