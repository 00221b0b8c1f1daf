// Package tcpemu carries TCP byte streams over multihomed SCTP associations
// (package sctpmh), so that a connection goes on when a network path dies. A
// [Conn] is a net.Conn, a [Listener] a net.Listener; [Dialer].DialContext fits
// wherever a dial function does:
//
//	d := &tcpemu.Dialer{Endpoint: e, Resolver: names}
//	http.DefaultTransport.(*http.Transport).DialContext = d.DialContext
//
// All connections between two hosts share one association, whoever opens them
// and whoever made it, unless Dialer.Policy says otherwise. One connection is one
// stream number, the same in both directions.
//
// Hosts that do not speak mh are reached by a dialer with a [Fallback], which
// races multipath TCP and TCP over all uplinks and addresses.
//
// # Wire format, version 1
//
// An association is announced as ours by the Adaptation Layer Indication
// 0x6D680001. Messages have one of two payload protocol identifiers. DATA
// (0x6D680001) is octets of the stream and nothing else; message boundaries
// mean nothing. CTRL (0x6D680002) is one octet of type and then TLVs: one
// octet of type, two of length, the value, numbers in network byte order. A
// TLV that the table does not give to a message is skipped; one that is
// missing where it is required, twice, or of the wrong length is an error, and so is an unknown CTRL type
// below 128. All messages of a stream are ordered, but for CREDIT and PONG; PING
// may be either. A PING is answered at once by PONG on the same stream with the
// same opaque value: one that was sent ordered, after all before it on the
// stream was received.
//
//	type          on      TLVs, the optional ones in brackets
//	 1 HELLO      SID 0   version nonce flags streams credit [name] [seen]
//	 3 PING       any     opaque
//	 4 PONG       any     opaque
//	 5 GOAWAY     SID 0   code
//	16 OPEN       stream  epoch target credit [hops] [via]
//	17 OPEN_OK    stream  epoch credit [seen]
//	18 OPEN_FAIL  stream  epoch code [text]
//	19 FIN        stream  offset
//	20 RESET      stream  epoch code
//	21 CREDIT     stream  epoch offset
//	22 URG        stream  offset octet
//
//	TLV  1 version u8      2 nonce u64    3 name        4 streams u16  5 credit u64
//	     6 seen: address (4 or 16 octets) and port      7 epoch u32    8 hops u8
//	     9 target: port u16, then nothing (the peer's own), or 1 and an address, or 2 and a name
//	    10 via: up to four u64   11 code u8   12 text   13 offset u64   14 opaque u64   15 flags u8
//	    16 octet u8
//
// HELLO is the first message each way; what overtakes it, at most 64 messages
// with 64 KiB, waits for it. Its flags: 1, the sender dialled the association; 2,
// it takes connections that the other side opens. Its credit is 16 KiB or more.
//
// Who dialled the association has the odd stream numbers, the other side the
// even ones from 2 on. Where both dialled and one association came of it, the
// larger of the two nonces keeps the odd numbers. The other side then opens again
// on even ones what it had opened before it knew; the first ignores OPEN, DATA
// and FIN on its own numbers until the answer to an OPEN of its own.
//
// OPEN is the first message of a connection, and need not wait for the peer's
// HELLO. DATA may follow at once, within the credit of that HELLO or else 16
// KiB; when OPEN is refused it is discarded. A stream number is used again once
// both directions have ended, each by FIN, RESET or OPEN_FAIL; who gets RESET or
// OPEN_FAIL and has not ended its own direction yet ends it by RESET. RESET may
// follow FIN while the other direction goes on. The epoch, one more for each
// OPEN from a random number on, tells leftovers of an earlier use apart. CREDIT
// gives the absolute offset up to which the other side may send; it only grows.
// URG is an octet of the stream, at the offset of those before it, that is
// urgent.
//
// After GOAWAY neither side opens connections; those that there are go on, and
// when the last one has ended, who said GOAWAY shuts the association down. An
// OPEN that crosses GOAWAY is answered by OPEN_FAIL with code 66: nothing was
// done, it may be asked again over another association. So says a graceful end
// of the association about an OPEN without an answer.
//
// Of two associations that two hosts made with each other at the same time, the
// one whose pair of nonces, the smaller one first, is the smaller stays. Who made
// the other says GOAWAY on it, once it has found the peer of both to be the same.
package tcpemu
