// Package ftp follows the control connections of FTP (RFC 959) that pass
// through a daemon. In active mode the client awaits the server's data
// connection and says where, by PORT or EPRT. A daemon that would take no
// connection of a peer otherwise lets that one in: only what was announced, only
// from the peer to whom it was, once, and not for long. Of a control connection
// that is encrypted it sees nothing.
//
// [Controls] are a daemon's control connections. [Control.Saw] is given what a
// client sends; [Controls.Take] says whether somebody awaits a connection.
package ftp
