package sctpmh

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/sctpmh/mh/internal/datagram"
	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/udp"
)

// Config sets an endpoint up. The zero value of each field means its default.
type Config struct {
	// Backend is what carries the associations. Default UDP.
	Backend Backend

	// Socket opens the socket for a local address. Nil: it is the kernel's.
	// Only this module can name the type: its tests put a simulated network
	// below an endpoint.
	Socket func(local netip.AddrPort) (datagram.Socket, error)

	// Port is the SCTP port of this end, and the one dialled at the other.
	// Default 5000.
	Port uint16

	// MaxStreams is how many streams are asked for and accepted each way.
	// Default 16,384.
	MaxStreams uint16

	// ReceiveBuffer is the window announced to a peer, in octets for each
	// association. Default 4 MiB, over the kernel 1 MiB.
	ReceiveBuffer int

	// SendBuffer is how many octets of an association may wait to be
	// acknowledged. Send blocks earlier when the network takes less. Default
	// 8 MiB, over the kernel 1 MiB.
	SendBuffer int

	// MaxAssociations bounds the associations of the endpoint; a further one
	// is refused. Default 4,096.
	MaxAssociations int

	// Adaptation is the Adaptation Layer Indication announced (RFC 5061
	// section 4.2.6). Zero: none.
	Adaptation uint32

	// ListAddresses has INIT and INIT ACK name the local addresses. A peer
	// behind a name learns them from the DNS instead. The kernel always names
	// them.
	ListAddresses bool

	// HeartbeatInterval is the idle time after which a path is probed.
	// Default 5 s.
	HeartbeatInterval time.Duration

	// Aggregate has data of this end take all paths that work at once, each as
	// far as it helps, instead of one. Over the kernel it takes one.
	Aggregate bool

	// RTOMin is the least retransmission timeout. Default 100 ms. Towards
	// peers that delay acknowledgements by more it must be higher (RFC 9260
	// section 15: 1 s).
	RTOMin time.Duration

	// Logger gets decisions worth a line. Nil: none.
	Logger *slog.Logger
}

const defaultPort = 5000

// A Backend is what carries associations.
type Backend uint8

const (
	// UDP is this package's own SCTP in UDP (RFC 6951). It needs no privileges.
	UDP Backend = iota

	// Raw is this package's own SCTP in IP, as protocol 132. It needs the
	// privilege to open raw sockets, a network that passes SCTP, and that
	// nobody else on the host speaks SCTP from the same addresses. UDP ports
	// mean nothing to it.
	Raw

	// Kernel is the SCTP of the Linux kernel, in UDP at the local addresses'
	// port, which must be that of the sysctl net.sctp.udp_port, or in IP where
	// that port is 0; see KernelAvailable. Addresses that the peer does not
	// name in the handshake cannot be used.
	Kernel
)

// String returns the backend's name in configurations.
func (b Backend) String() string {
	switch b {
	case Raw:
		return "raw"
	case Kernel:
		return "kernel"
	}
	return "udp"
}

// engineConfig translates c for a state machine on the given addresses.
func (c *Config) engineConfig(locals []netip.AddrPort) engine.Config {
	ec := engine.Config{
		Port:              c.Port,
		Locals:            locals,
		Accept:            true,
		MaxStreams:        c.MaxStreams,
		ReceiveBuffer:     c.ReceiveBuffer,
		SendBuffer:        c.sendBuffer() + sendReserve,
		Adaptation:        c.Adaptation,
		HeartbeatInterval: c.HeartbeatInterval,
		RTOMin:            c.RTOMin,
		Aggregate:         c.Aggregate,
		NoECN:             !udp.ECN, // marks would not be seen
	}
	if c.ListAddresses && len(locals) > 1 { // one address is not to be listed (RFC 6951 section 3.2)
		for _, l := range locals {
			ec.List = append(ec.List, l.Addr())
		}
	}
	return ec
}

// withDefaults returns a copy of c, which may be nil, without zeros where the
// shell needs a value.
func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Port == 0 {
		d.Port = defaultPort
	}
	if d.MaxAssociations == 0 {
		d.MaxAssociations = 4096
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

// Bounds on what waits between goroutines.
const (
	// inboxLimit bounds the memory of packets that wait for an association, in
	// octets. A peer that sends faster than its association runs loses packets,
	// as it would in a socket buffer; the reader never blocks on one
	// association.
	inboxLimit = 8 << 20

	// inboxTrain bounds the batches that are handled between two looks at what
	// else there is to do, and stepTrain those between two looks at what users
	// send and can take: half a megabyte at the most.
	inboxTrain = 64
	stepTrain  = 8

	// strayLimit bounds the batches that wait for the endpoint: those that no
	// association owns. A flood of them takes 64 KiB each at the most.
	strayLimit = 64

	// backlogLimit bounds associations that were made by peers and not yet
	// accepted; further ones are aborted. Without it a peer could fill memory
	// with associations that nobody wants.
	backlogLimit = 128

	// localLimit bounds the local addresses that AddLocal brings an endpoint to.
	// Each costs a socket with its buffers and two goroutines, and whoever is on
	// the link can have the host make addresses without end (RFC 6104).
	localLimit = 32

	// sourceLimit bounds the associations that one source has made at a time.
	// A site behind one address has many hosts, each with a few.
	sourceLimit = 1024

	// readyLimit and unsentLimit bound the octets that wait between the user
	// and the association's goroutine. Beyond the first the peer's window
	// closes; beyond the second Send blocks, but for one message of each stream,
	// two with an unordered one.
	readyLimit  = 256 << 10
	unsentLimit = 256 << 10

	// addrLimit bounds the addresses of a peer that set-up chunks are
	// recognised by: a peer behind a translator may change its port for ever.
	addrLimit = 64

	// failoverLimit bounds the failovers that are remembered.
	failoverLimit = 64
)
