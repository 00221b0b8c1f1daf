// Package tcpemu carries TCP byte streams over multihomed SCTP associations
// (package sctpmh), so that a connection goes on when a network path dies. A
// [Conn] is a net.Conn, a [Listener] a net.Listener; [Dialer].DialContext fits
// wherever a dial function does:
//
//	d := &tcpemu.Dialer{Endpoint: e, Resolver: names}
//	http.DefaultTransport.(*http.Transport).DialContext = d.DialContext
//
// All connections between two hosts share one association. One connection is
// one stream number, the same in both directions.
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
// below 128. All messages of a stream are ordered, but for CREDIT, PING and
// PONG.
//
//	type          on      TLVs, the optional ones in brackets
//	 1 HELLO      SID 0   version nonce streams credit [name] [seen]
//	 3 PING       any     opaque
//	 4 PONG       any     opaque
//	 5 GOAWAY     SID 0   sid code
//	16 OPEN       stream  epoch target credit [hops] [via]
//	17 OPEN_OK    stream  epoch credit [seen]
//	18 OPEN_FAIL  stream  epoch code [text]
//	19 FIN        stream  offset
//	20 RESET      stream  epoch code
//	21 CREDIT     stream  epoch offset
//
//	TLV  1 version u8      2 nonce u64    3 name        4 streams u16  5 credit u64
//	     6 seen: address (4 or 16 octets) and port      7 epoch u32    8 hops u8
//	     9 target: port u16, then nothing (the peer's own), or 1 and an address, or 2 and a name
//	    10 via: up to four u64   11 code u8   12 text   13 offset u64   14 opaque u64   15 sid u16
//
// HELLO is the first message each way. Of the two nonces the smaller gives its
// side the even stream numbers from 2 on, the other has the odd ones. OPEN is
// the first message of a connection; DATA may follow at once within the credit
// of the peer's HELLO. A stream number is used again once both directions have
// ended, each by FIN, RESET or OPEN_FAIL; who gets RESET or OPEN_FAIL and has
// not ended its own direction yet ends it by RESET. The epoch tells leftovers
// of an earlier use apart. CREDIT gives the absolute offset up to which the
// other side may send; it only grows.
package tcpemu
