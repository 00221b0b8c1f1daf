// Package socks5 is the server side of a local proxy: SOCKS5 (RFC 1928), SOCKS4a
// and HTTP CONNECT (RFC 9110 section 9.3.6) on one port, told apart by the first octet.
//
// It speaks CONNECT only. BIND and UDP ASSOCIATE get reply 07 (command not
// supported); no client of FTP uses BIND for its active mode, see package proxy.
// No authentication is offered; who may connect is the caller's business (the
// listening address, the Dial function, the limits).
//
// wire.go and http.go parse and build messages and touch no socket; server.go
// has the sockets, the deadline and the limits. A Server asks its Dial function
// for the target and hands both connections to its Relay function:
//
//	srv := &socks5.Server{Dial: dial, Relay: relay}
//	err := srv.Serve(listener)
//
// Octets that a client sends behind its request, before the reply, are kept and
// are the first that Relay reads.
package socks5
