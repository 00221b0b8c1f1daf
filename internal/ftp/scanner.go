package ftp

import (
	"bytes"
	"net/netip"
)

// maxLine is how much of a line is kept. A client may send a line without an
// end. The longest announcement, EPRT of an IPv6 address that ends as an IPv4
// one, has 60 octets and CR, so what is cut off here is none.
const maxLine = 64

// A scanner reads what a client sends on a control connection, in pieces of any
// size. It stops for good at the first line that no FTP client would send: what
// a browser was talked into sending to port 21 has a header before its body, and
// must not open a port.
type scanner struct {
	line []byte // the beginning of the line so far
	over bool
}

// scan reads a piece. It tells where a client awaits a data connection from
// then on; an invalid address: nowhere.
func (s *scanner) scan(piece []byte, announced func(netip.AddrPort)) {
	for _, octet := range piece {
		switch {
		case s.over:
			return
		case octet == '\n':
			s.finish(announced)
		case octet >= telnet:
		case len(s.line) < maxLine:
			s.line = append(s.line, octet)
		}
	}
}

// telnet is the first of the octets that are Telnet's, as those before ABOR are
// (RFC 959 section 4.1.3, RFC 854). No announcement has any of them.
const telnet = 0xf0

// finish reads the line that has ended.
func (s *scanner) finish(announced func(netip.AddrPort)) {
	line := string(bytes.TrimSuffix(s.line, []byte("\r")))
	s.line = s.line[:0]
	verb, argument, ok := command(line)
	if !ok {
		s.over = true
		announced(netip.AddrPort{})
		return
	}
	switch verb {
	case "PORT":
		announced(parsePORT(argument))
	case "EPRT":
		announced(parseEPRT(argument))
	case "PASV", "EPSV", "REIN", "QUIT": // the client awaits none any more
		announced(netip.AddrPort{})
	}
}

// command splits a command into its verb, in upper case, and the rest. "The
// command codes are four or fewer alphabetic characters." (RFC 959 section 5.3)
func command(line string) (verb, argument string, ok bool) {
	n := 0
	for n < len(line) && n < 5 && 'A' <= line[n]&^0x20 && line[n]&^0x20 <= 'Z' {
		n++
	}
	if n < 3 || n > 4 || n < len(line) && line[n] != ' ' {
		return "", "", false
	}
	verb = string(bytes.ToUpper([]byte(line[:n])))
	if n < len(line) {
		argument = line[n+1:]
	}
	return verb, argument, true
}
