package wire

// Numbers of the protocol.
type (
	Tag      uint32 // verification tag, section 5.3.1
	TSN      uint32 // transmission sequence number, section 1.6
	SSN      uint16 // stream sequence number, section 1.6
	StreamID uint16
	PPID     uint32 // payload protocol identifier, opaque to SCTP
)

// Less reports whether t comes before u in serial number arithmetic (RFC 9260
// section 1.6, RFC 1982).
func (t TSN) Less(u TSN) bool { return int32(t-u) < 0 }

// LessEq reports whether t is u or comes before it.
func (t TSN) LessEq(u TSN) bool { return int32(t-u) <= 0 }

// Add returns the TSN n after t.
func (t TSN) Add(n uint32) TSN { return t + TSN(n) }

// Sub returns how many TSNs after u t is; negative when it comes before.
func (t TSN) Sub(u TSN) int32 { return int32(t - u) }

// Less reports whether s comes before u in serial number arithmetic.
func (s SSN) Less(u SSN) bool { return int16(s-u) < 0 }
