package udp

import "net/netip"

// A Hint is what the network, or this host's own kernel, says about a datagram
// that was sent and did not arrive. Unless it is Local, anybody can make one up:
// RFC 9260 section 10 has the receiver compare the Verification Tag in Packet
// before it believes a word, and RFC 6951 section 5.5 has it ignore a hint
// whose tag it cannot see.
type Hint struct {
	Remote netip.AddrPort // whom the datagram was for; over IPv4 a local hint has no port

	MTU             int  // octets of an IP packet that the way takes, 0: none told
	Unreachable     bool // no way to the remote host
	PortUnreachable bool // the host answers that nothing there takes the datagram

	Local  bool   // the MTU is that of our own device: nobody else said so
	Packet []byte // the start of the datagram's payload as the message quotes it, perhaps none of it
}
