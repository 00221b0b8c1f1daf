// Package sctpmh is multihomed SCTP (RFC 9260) over UDP (RFC 6951): message
// streams between two hosts that go on when one of their network paths dies.
//
// An [Endpoint] is the local end: one UDP socket for each local address. It
// dials and accepts. An [Assoc] is an association with a peer; it sends and
// receives [Message]s on numbered streams, ordered within each stream or not
// at all. Data takes one path at a time and leaves it at the first timeout; or
// all paths at once, with Config.Aggregate.
//
//	e, err := sctpmh.Listen([]netip.AddrPort{wifi, lte}, nil)
//	a, err := e.Dial(ctx, []netip.AddrPort{serverAtISP1, serverAtISP2})
//	a.Permit(addresses)            // of the server that may be used as well
//	err = a.Send(ctx, sctpmh.Message{Stream: 1, Data: b})
//	m, err := a.Recv(ctx)
//
// Streams with something to send share the path in octets, by weight
// ([Assoc.SetWeight]). [Endpoint.DialEarly] sends with the handshake, and
// [Assoc.Discard] takes back what has not left.
//
// # Which addresses are used
//
// Only the pair of addresses that completed the handshake is used at first. A
// further address of the peer must be permitted with [Assoc.Permit], by
// somebody who knows that it is the peer's, and must then answer a probe with
// a 64-bit nonce. So neither the peer nor a wrong DNS answer can aim traffic
// at a third party: an address that never answers gets three small packets
// and then silence. When the peer's addresses change, [Assoc.SetCandidates] adds
// what is new and withdraws what is gone.
//
// # Backends
//
// Config.Backend chooses what carries the associations: this package's own
// engine in UDP, which needs no privileges, the same engine in IP itself, or the
// SCTP of the Linux kernel. What users see is the same.
//
// # Concurrency
//
// All methods may be called from any goroutine. Each association has one
// goroutine that owns its state machine (sctpmh/internal/engine); Close of
// the endpoint returns when no goroutine is left.
package sctpmh
