package kernel

import (
	"encoding/binary"
	"math"
	"net/netip"
	"time"
	"unsafe"
)

// Socket options of level IPPROTO_SCTP, as linux/sctp.h numbers them.
const (
	optRTOInfo         = 0
	optAssocInfo       = 1
	optInitMsg         = 2
	optNoDelay         = 3
	optPrimaryAddr     = 6
	optAdaptation      = 7
	optPeerAddrParams  = 9
	optMappedV4        = 12
	optStatus          = 14
	optPeerAddrInfo    = 15
	optDelayedSACK     = 16
	optInterleave      = 18
	optThresholds      = 31
	optRecvRcvInfo     = 32
	optBindAdd         = 100
	optPeerAddrs       = 108
	optLocalAddrs      = 109
	optConnect         = 110
	optAssocStats      = 112
	optEvent           = 127
	optExposePF        = 131
	optRemoteEncapPort = 132
)

// The structs that follow are those of linux/sctp.h for 64-bit machines, with
// the padding written out and blank where nobody here needs a field.
//
// Invariant: sizes and offsets are those of the header (option_test.go): the
// kernel refuses other sizes, and believes other offsets.

// assoc is an association's number, which sockets of the one-to-one style
// ignore.
type assoc int32

// packed32 is a 32-bit number where the header's struct is packed, so that it
// is not aligned.
type packed32 [4]byte

func pack32(v uint32) (p packed32) {
	binary.NativeEndian.PutUint32(p[:], v)
	return p
}

type rtoInfo struct { // milliseconds
	_                 assoc
	initial, max, min uint32
}

type assocParams struct {
	_          assoc
	maxRetrans uint16
	_          uint16    // destinations
	_          [2]uint32 // windows
	_          uint32    // life of cookies
}

type initMsg struct {
	outStreams, inStreams uint16
	attempts              uint16
	timeoutMax            uint16 // milliseconds
}

type assocValue struct {
	_     assoc
	value uint32
}

type sackInfo struct {
	_     assoc
	delay uint32 // milliseconds
	freq  uint32 // packets
}

type primary struct { // packed
	_    assoc
	addr storage
}

type peerAddrParams struct { // packed, of alignment 4
	_          assoc
	addr       storage
	heartbeat  uint32 // milliseconds
	maxRetrans uint16
	_          packed32 // path MTU
	_          packed32 // SACK delay
	flags      packed32
	_          packed32 // flow label
	_          [2]byte  // DSCP
}

// Flags of peerAddrParams (enum sctp_spp_flags).
const (
	heartbeatOn  = 1 << 0
	heartbeatOff = 1 << 1
	heartbeatNow = 1 << 2
)

type thresholds struct {
	_          assoc
	_          [4]byte
	addr       storage
	maxRetrans uint16 // 0: as it is
	pf         uint16
	_          [4]byte
}

type encapPort struct {
	_    assoc
	_    [4]byte
	addr storage
	port [2]byte // network order
	_    [6]byte
}

type peerAddrInfo struct { // packed, of alignment 4
	_         assoc
	addr      storage
	state     int32
	cwnd      uint32
	srtt, rto uint32 // milliseconds
	mtu       uint32
}

type status struct {
	_                     assoc
	_                     int32     // state
	_                     uint32    // window
	_                     [2]uint16 // chunks in flight and waiting
	inStreams, outStreams uint16
	payload               uint32       // of the largest message that fits a packet
	_                     peerAddrInfo // primary path
}

type assocStats struct {
	_                         assoc
	_                         [4]byte
	_                         storage // address of the path with rtoMax
	rtoMax                    uint64  // milliseconds
	inSACKs, outSACKs         uint64
	outPackets, inPackets     uint64
	retransmits               uint64
	outOfOrder                uint64
	duplicates                uint64
	_                         uint64 // gaps that SACKs reported
	outUnordered, inUnordered uint64
	outOrdered, inOrdered     uint64
	_                         [2]uint64 // control chunks, out and in
}

type event struct {
	_   assoc
	typ uint16
	on  uint8
	_   byte
}

// exposePF has the kernel report the potentially failed state (RFC 7829
// section 7.1). On Linux it is 2, as in net.sctp.pf_expose; with 1 such paths
// cannot be asked about.
const exposePF = 2

// octets is v as the kernel sees it.
func octets[T any](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// milliseconds rounds up, so that a small duration does not become 0, which
// stands for something else in every option.
func milliseconds(d time.Duration) uint32 {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return uint32(min(max(0, ms), math.MaxInt32))
}

func duration(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }

// An option is one that is set before an association exists.
type option struct {
	name  string
	num   int
	value []byte
}

// options are those of every socket. The kernel copies them to associations,
// and from a listener to what it accepts.
func (c *Config) options(encap uint16) []option {
	one := func() []byte { v := int32(1); return octets(&v) }
	zero := func() []byte { var v int32; return octets(&v) }
	list := []option{
		{"SCTP_INITMSG", optInitMsg, octets(&initMsg{c.MaxStreams, c.MaxStreams, initAttempts, uint16(milliseconds(initTimeoutMax))})},
		{"SCTP_RTOINFO", optRTOInfo, octets(c.rtoInfo())},
		{"SCTP_ASSOCINFO", optAssocInfo, octets(&assocParams{maxRetrans: c.MaxRetrans})},
		{"SCTP_DELAYED_SACK", optDelayedSACK, octets(&sackInfo{delay: milliseconds(c.SACKDelay), freq: 2})},
		{"SCTP_PEER_ADDR_PARAMS", optPeerAddrParams, octets(&peerAddrParams{maxRetrans: c.PathMaxRetrans, flags: pack32(heartbeatOff)})},
		{"SCTP_PEER_ADDR_THLDS", optThresholds, octets(&thresholds{maxRetrans: c.PathMaxRetrans, pf: 0})},
		{"SCTP_EXPOSE_POTENTIALLY_FAILED_STATE", optExposePF, octets(&assocValue{value: exposePF})},
		{"SCTP_NODELAY", optNoDelay, one()},
		{"SCTP_RECVRCVINFO", optRecvRcvInfo, one()},
		// A message that does not fit the window comes in parts; nothing else
		// comes between them (RFC 6458 section 8.1.20).
		{"SCTP_FRAGMENT_INTERLEAVE", optInterleave, zero()},
		{"SCTP_I_WANT_MAPPED_V4_ADDR", optMappedV4, zero()},
	}
	for _, t := range notifications {
		list = append(list, option{"SCTP_EVENT", optEvent, octets(&event{typ: t, on: 1})})
	}
	if c.Adaptation != 0 {
		list = append(list, option{"SCTP_ADAPTATION_LAYER", optAdaptation, octets(&c.Adaptation)})
	}
	if encap != 0 {
		list = append(list, option{"SCTP_REMOTE_UDP_ENCAPS_PORT", optRemoteEncapPort, octets(newEncapPort(netip.Addr{}, 0, encap))})
	}
	return list
}

func (c *Config) rtoInfo() *rtoInfo {
	least := milliseconds(c.RTOMin)
	first := max(least, milliseconds(rtoInitial))
	return &rtoInfo{initial: first, max: max(first, milliseconds(rtoMax)), min: least}
}

// newEncapPort is for an address of the peer and its SCTP port.
func newEncapPort(a netip.Addr, port, encap uint16) *encapPort {
	o := &encapPort{addr: toStorage(a, port)}
	binary.BigEndian.PutUint16(o.port[:], encap)
	return o
}
