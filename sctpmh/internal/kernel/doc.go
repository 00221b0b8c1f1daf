// Package kernel is the SCTP of the Linux kernel (RFC 6458 sockets of the
// one-to-one style) as a backend of associations: a [Listener] accepts and
// [Dial] makes a [Conn], which sends and receives whole messages and says what
// happens to the paths.
//
//	if err := kernel.Available(9899); err != nil { ... } // says what to do
//	l, err := kernel.Listen(addrs, &kernel.Config{Port: 5000})
//	c, err := l.Accept(ctx)
//	c, err := kernel.Dial(ctx, local, remote, 9899, &kernel.Config{Port: 5000})
//	err = c.Restrict(permitted, false) // which further addresses may be used
//	err = c.Send(ctx, kernel.Message{Stream: 1, Data: b})
//	m, event, err := c.Recv(ctx)
//
// # Which addresses are used
//
// Heartbeats are off when an association begins. So the kernel uses the address
// that completed the handshake and those that were dialled; others that the
// peer listed stay unconfirmed, and the kernel sends no data to such.
// [Conn.Restrict] says which may be probed and used instead.
//
// # Failover
//
// A path is left at its first timeout, that is after the least retransmission
// timeout (Config.RTOMin) or a little more: the potentially failed threshold
// (RFC 7829) is 0. The kernel lets heartbeats bring it back.
//
// # Encapsulation
//
// SCTP over UDP (RFC 6951) is a property of the network namespace: the sysctl
// net.sctp.udp_port opens the local UDP port, and sockets made before it is
// set do not take part. The remote port is given when dialling; who is dialled
// answers the way it was addressed, in UDP or not. The kernel takes the port
// that it knows of one address of a peer for that of the others: a peer has to
// use the same one on all.
//
// # Concurrency
//
// All methods may be called from any goroutine. The package has no goroutine
// of its own: sockets are in the runtime's poller, and whoever waits is the
// caller. [Conn.Close] and [Listener.Close] wake all who wait.
//
// # Systems
//
// Linux on 64-bit machines; elsewhere Available says so and everything fails
// with its error. Tested with Linux 6.1. Addresses are not added to or removed
// from a live association (RFC 5061).
package kernel
