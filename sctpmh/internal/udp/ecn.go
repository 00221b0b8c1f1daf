package udp

// The ECN field: the last two bits of the TOS or traffic class (RFC 3168
// section 5).
const (
	ecnMask = 3
	ecnECT0 = 2
	ecnCE   = 3
)
