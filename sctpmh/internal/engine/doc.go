// Package engine is a multihomed SCTP association (RFC 9260) as a pure state
// machine. It has no clock, goroutine, lock or socket, and no randomness of
// its own: time and a random source come in, packets and events come out. The
// same inputs in the same order give the same outputs, bit for bit, so whole
// networks of engines run in virtual time and a failing seed is a regression
// test.
//
// An [Endpoint] answers what no association owns: INIT and COOKIE ECHO, both
// without keeping state, and packets out of the blue. An [Assoc] is one
// association. Its driver runs one step after another:
//
//	a.Handle(now, on, packet)           // or Send, Shutdown, Expire, ...
//	for {
//		packet, on, ok := a.Poll(now, buf)
//		if !ok {
//			break
//		}
//		transmit(packet, on)
//	}
//	for e, ok := a.NextEvent(); ok; e, ok = a.NextEvent() { ... }
//	for m, ok := a.Recv(now); ok; m, ok = a.Recv(now) { ... }
//	timer.Reset(a.NextDeadline())
//
// A method may be called at any time and in any order by the one owner of the
// association. Packets given to Handle are borrowed until it returns.
//
// # Paths
//
// A path is a [Pair] of a local and a remote UDP address, because a dead
// uplink and ingress filtering make the source as important as the
// destination. The pair that completed the handshake is confirmed by it;
// every other one must be permitted by the user ([Assoc.Permit]), answers a
// HEARTBEAT with a 64-bit nonce, and only then may carry DATA. That is
// stricter than RFC 9260 section 5.4, which takes addresses given by the
// upper layer as confirmed: here they come from the DNS, and a name may hold
// the address of a stranger.
//
// # Sealing
//
// An association will be sealed by encrypting each packet as the last step
// after Poll and opening it as the first before Handle, with keys that come in
// from outside; Config.SealRoom keeps the octets free that this adds. Nothing
// else here depends on it: addresses gain a meaning only in Handle.
package engine
