// Package tcpemu carries TCP byte streams over multihomed SCTP associations
// (package sctpmh), so that a connection goes on when a network path dies. A
// [Conn] is a net.Conn, a [Listener] a net.Listener; [Dialer].DialContext fits
// wherever a dial function does:
//
//	d := &tcpemu.Dialer{Endpoint: e, Resolver: names}
//	http.DefaultTransport.(*http.Transport).DialContext = d.DialContext
//
// All connections between two hosts share one association, whoever opens them
// and whoever made it, unless Dialer.Policy says otherwise; a program that dials
// and listens sets Dialer.Listener for that. One connection is one stream number,
// the same in both directions.
//
// Hosts that do not speak mh are reached by a dialer with a [Fallback], which
// races multipath TCP and TCP over all uplinks and addresses.
//
// # Wire format, version 1
//
// docs/tcp-emulation.md specifies it, and what peers do. In short: an association
// is announced as ours by the Adaptation Layer Indication [AdaptationCode].
// Messages have one of two payload protocol identifiers. DATA is octets of the
// stream and nothing else; message boundaries mean nothing. CTRL is one octet
// of type and then TLVs: one octet of type, two of length, the value, numbers
// in network byte order. All messages of a stream are ordered, but for CREDIT
// and PONG; PING may be either.
//
//	type          on      TLVs, the optional ones in brackets
//	 1 HELLO      SID 0   version nonce flags streams credit [name] [seen]
//	 3 PING       any     opaque
//	 4 PONG       any     opaque
//	 5 GOAWAY     SID 0   code
//	16 OPEN       stream  epoch target credit [hops] [via] [from]
//	17 OPEN_OK    stream  epoch credit [seen]
//	18 OPEN_FAIL  stream  epoch code [text]
//	19 FIN        stream  offset
//	20 RESET      stream  epoch code
//	21 CREDIT     stream  epoch offset [returns]
//	22 URG        stream  offset octet
//	23 RETURN     stream  offset
//
// HELLO is the first message each way. OPEN begins a connection and OPEN_OK
// accepts it; octets may follow OPEN at once, within a small credit. CREDIT is
// what the other side may send up to; RETURN gives up what an idle sender does
// not use of it. A stream number is used again once both directions have ended,
// each by FIN, RESET or OPEN_FAIL. After GOAWAY neither side opens connections;
// when the last one has ended, the association does.
//
// # Sharing
//
// The connections of an association take turns, a packet's worth each, so that
// bulk on one does not hold up an octet on another; [Conn.SetWeight] gives one a
// larger share. The window of a connection follows
// what its reader takes in a round trip; [Windows] bounds it and the sums. An idle
// connection has no goroutine.
package tcpemu
