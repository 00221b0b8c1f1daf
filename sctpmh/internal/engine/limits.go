package engine

// Bounds on everything that a peer, or whoever can send packets here, can
// make grow or repeat. Each names the attack that it stops.
const (
	// maxPeerAddrs bounds the addresses kept of a peer's list and of the
	// permitted set: an INIT that lists many victims would otherwise turn
	// into a burst of probes (RFC 5062 section 6, "bombing" attack 2).
	maxPeerAddrs = 8

	// maxListedParams aborts an association whose INIT or INIT ACK carries
	// more address parameters: no honest host has them, and walking them is
	// work for nothing.
	maxListedParams = 64

	// maxPaths bounds the pairs of an association: four local addresses of
	// each of two families with as many remote ones are 16 pairs.
	maxPaths = 16

	// maxProbes bounds the packets (INIT or HEARTBEAT) sent in a row to an
	// address that has never answered: a name or a peer can list a victim,
	// and this is all that the victim will see for a while (probeQuiet).
	maxProbes = 3

	// maxInits bounds the INITs of one dial to an address that has never
	// answered: three, one after 30 s of silence and one after another minute,
	// so that a network which is away for a while does not end a dial. TCP
	// repeats a SYN for longer (RFC 9293 section 3.8.3). A name that lists
	// victims has its visitors send them no more than that.
	maxInits = 5

	// maxReplies bounds prepared replies that wait to be sent. A peer that
	// sends requests faster than we can answer loses the newest answers.
	maxReplies = 64

	// maxGaps bounds the ranges of TSNs received beyond a hole. A peer that
	// sends every second TSN would otherwise make the list, and every SACK,
	// as long as its window. Chunks that would open a further range are
	// dropped and come again.
	maxGaps = 1024

	// maxTSNAhead bounds how far beyond the cumulative TSN a chunk may lie:
	// gap offsets are 16 bits wide (RFC 9260 section 3.3.4), and a TSN far
	// out of the window is an attack or a bug.
	maxTSNAhead = 1<<16 - 1

	// maxInFlight bounds the chunks sent and not yet acknowledged
	// cumulatively, for the same reason seen from the sender.
	maxInFlight = 1<<16 - 1

	// maxDups bounds the duplicate TSNs reported in one SACK; further ones
	// are only counted.
	maxDups = 32

	// chunkCost is added to each received chunk's payload when memory is
	// accounted against the announced window, so that a flood of one-octet
	// chunks cannot take a hundred times the window's memory.
	chunkCost = 128

	// MaxMessage bounds one user message, and with it a reassembly, in
	// octets. Sending more fails with ErrTooBig; a peer that sends more
	// fills its window without completing a message and stalls itself.
	MaxMessage = 1 << 20

	// maxUnrecognized bounds the parameters named in one ERROR chunk or cause, so
	// that a reply never exceeds the packet that provoked it by much
	// (CVE-2010-1173: an INIT with many unknown parameters).
	maxUnrecognized    = 16
	maxUnrecognizedLen = 160 // octets of an INIT ACK that they may take

	// maxCauseInfo bounds what an error cause repeats of the packet that
	// provoked it, or the reason that a user gives for an abort, in octets.
	maxCauseInfo = 512

	// maxInitAck bounds an INIT ACK in octets; INITs are padded to it, so
	// that a spoofed INIT never reflects more octets than it cost (RFC 5062
	// section 9, "bombing" attack 4).
	maxInitAck = 640

	// maxEvents bounds events that wait to be read; path events beyond it
	// are merged into the path table, which always tells the present state.
	maxEvents = 256

	// defaultStreams is the number of streams we offer to accept when
	// the configuration names none.
	defaultStreams = 16384

	// outOfTheBlueBurst and outOfTheBlueRate bound the replies to packets
	// that belong to no association, per second and source, and
	// outOfTheBlueAll those of the whole endpoint: they are a reflector
	// otherwise.
	outOfTheBlueBurst = 50
	outOfTheBlueRate  = 50
	outOfTheBlueAll   = 1000

	// initBurst and initRate bound the INITs of one source that are answered,
	// per second: each costs a MAC here and an INIT ACK at whoever owns the
	// source address. Many hosts may share one behind a translator.
	initBurst = 200
	initRate  = 100

	// sourceSlots is the number of rates that are kept for sources: spoofed
	// sources must not cost memory.
	sourceSlots = 1024
)
