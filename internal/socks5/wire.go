package socks5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Protocol is what the client speaks.
type Protocol uint8

// The protocols of the port.
const (
	SOCKS5 Protocol = iota
	SOCKS4
	HTTP
)

func (p Protocol) String() string {
	return [...]string{"socks5", "socks4", "http"}[p]
}

// Version octets, methods and address types of RFC 1928 sections 3 to 5.
const (
	version5 = 5
	version4 = 4

	methodNone         = 0x00
	methodUnacceptable = 0xFF

	cmdConnect = 1

	atypIPv4 = 1
	atypName = 3
	atypIPv6 = 4
)

// Limits on what a client can make the server hold before its request is understood.
const (
	// maxSOCKS is more than any SOCKS message that can be valid: 2+255 octets of
	// methods, 7+255 of a request, and for SOCKS4a 8 + user + name, two strings
	// that end only where the client ends them.
	maxSOCKS = 1024
	// maxString bounds both strings of SOCKS4a; DNS names end at 255.
	maxString = 255
	// maxHTTP bounds the head of an HTTP request: headers are ignored, so a client
	// has no use for more.
	maxHTTP = 4096
)

// errShort says that the message is not complete yet.
var errShort = errors.New("message incomplete")

// A parseError is what a client did wrong, and the reply that its protocol has for it.
type parseError struct {
	reply Reply
	text  string
}

func (e *parseError) Error() string { return e.text }

func malformed(format string, args ...any) error {
	return &parseError{ReplyFailure, fmt.Sprintf(format, args...)}
}

// Request is what a client asks for: a name or an address, and a port.
type Request struct {
	Protocol Protocol
	// Client is the far end of the client's connection.
	Client netip.AddrPort
	// Name is the target as a host name, empty if the client gave an address. It
	// has no control characters and no spaces, but need not be a valid DNS name.
	Name string
	// Addr is the target as an address, unmapped. The zero Addr if Name is set.
	Addr netip.Addr
	// Port is never 0.
	Port uint16
}

// Target is the target as host:port, as net.Dial takes it.
func (r Request) Target() string {
	return net.JoinHostPort(r.Host(), strconv.Itoa(int(r.Port)))
}

// Host is the target without its port.
func (r Request) Host() string {
	if r.Name != "" {
		return r.Name
	}
	return r.Addr.String()
}

// parseGreeting reads the version and method selection of RFC 1928 section 3.
// n is its length.
func parseGreeting(b []byte) (methods []byte, n int, err error) {
	if len(b) < 2 {
		return nil, 0, errShort
	}
	if b[0] != version5 {
		return nil, 0, malformed("version %d in the greeting, want 5", b[0])
	}
	n = 2 + int(b[1])
	if len(b) < n {
		return nil, 0, errShort
	}
	return b[2:n], n, nil
}

// chooseMethod picks "no authentication required" if it is offered.
//
// "If the selected METHOD is X'FF', none of the methods listed by the client are
// acceptable, and the client MUST close the connection." (RFC 1928 section 3)
func chooseMethod(methods []byte) byte {
	if bytes.IndexByte(methods, methodNone) < 0 {
		return methodUnacceptable
	}
	return methodNone
}

// parseRequest5 reads a request of RFC 1928 section 4. n is its length.
func parseRequest5(b []byte) (req Request, n int, err error) {
	if len(b) < 5 {
		return req, 0, errShort
	}
	if b[0] != version5 {
		return req, 0, malformed("version %d in the request, want 5", b[0])
	}
	// b[2] is reserved; section 4 gives the receiver nothing to check there.
	host := b[4:]
	switch b[3] {
	case atypIPv4:
		n = 4 + 4
	case atypIPv6:
		n = 4 + 16
	case atypName:
		n = 4 + 1 + int(b[4])
		host = host[1:]
	default:
		return req, 0, &parseError{ReplyAddressType, fmt.Sprintf("address type %d is not known", b[3])}
	}
	if len(b) < n+2 {
		return req, 0, errShort
	}
	host = host[:n-(len(b)-len(host))]
	port := binary.BigEndian.Uint16(b[n:])
	n += 2
	if b[1] != cmdConnect {
		return req, n, &parseError{ReplyCommand, fmt.Sprintf("command %d is not CONNECT", b[1])}
	}
	if b[3] == atypName {
		req, err = newRequest(SOCKS5, string(host), port)
		return req, n, err
	}
	addr, _ := netip.AddrFromSlice(host)
	req, err = newAddrRequest(SOCKS5, addr, port)
	return req, n, err
}

// parseRequest4 reads a SOCKS4 or SOCKS4a request. n is its length. An address
// 0.0.0.x with x not 0 says that a host name follows the user name (SOCKS4a).
func parseRequest4(b []byte) (req Request, n int, err error) {
	if len(b) < 8 {
		return req, 0, errShort
	}
	if b[0] != version4 {
		return req, 0, malformed("version %d in the request, want 4", b[0])
	}
	port := binary.BigEndian.Uint16(b[2:])
	addr := netip.AddrFrom4([4]byte(b[4:8]))
	_, n, err = parseString(b, 8, "user name")
	if err != nil {
		return req, 0, err
	}
	var name string
	if b[4] == 0 && b[5] == 0 && b[6] == 0 && b[7] != 0 {
		if name, n, err = parseString(b, n, "host name"); err != nil {
			return req, 0, err
		}
	}
	if b[1] != cmdConnect {
		return req, n, &parseError{ReplyCommand, fmt.Sprintf("command %d is not CONNECT", b[1])}
	}
	if name != "" {
		req, err = newRequest(SOCKS4, name, port)
	} else {
		req, err = newAddrRequest(SOCKS4, addr, port)
	}
	return req, n, err
}

// parseString reads a string that ends in a zero octet; end is behind that octet.
func parseString(b []byte, from int, what string) (s string, end int, err error) {
	i := bytes.IndexByte(b[from:], 0)
	if i > maxString || i < 0 && len(b)-from > maxString {
		return "", 0, malformed("%s is longer than %d octets", what, maxString)
	}
	if i < 0 {
		return "", 0, errShort
	}
	return string(b[from : from+i]), from + i + 1, nil
}

// newRequest checks a host as a client wrote it. Many clients send an address in
// the place of a name; it is taken as the address that it is.
func newRequest(p Protocol, host string, port uint16) (Request, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return newAddrRequest(p, addr, port)
	}
	if err := checkName(host); err != nil {
		return Request{}, err
	}
	if port == 0 {
		return Request{}, malformed("port 0 cannot be connected to")
	}
	return Request{Protocol: p, Name: host, Port: port}, nil
}

func newAddrRequest(p Protocol, addr netip.Addr, port uint16) (Request, error) {
	addr = addr.Unmap()
	if addr.IsUnspecified() {
		return Request{}, malformed("%s is no address to connect to", addr)
	}
	if port == 0 {
		return Request{}, malformed("port 0 cannot be connected to")
	}
	return Request{Protocol: p, Addr: addr, Port: port}, nil
}

// checkName refuses what cannot be a host name in any alphabet, so that names
// may be logged and compared as they are.
func checkName(s string) error {
	if s == "" || len(s) > maxString {
		return malformed("host name of %d octets", len(s))
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, notInName) {
		return malformed("%q is no host name", s)
	}
	return nil
}

func notInName(r rune) bool {
	return r <= ' ' || r == 0x7F || strings.ContainsRune(`/\:[]@"%`, r)
}

// appendMethod writes the method selection of RFC 1928 section 3.
func appendMethod(b []byte, method byte) []byte {
	return append(b, version5, method)
}

// appendReply5 writes a reply of RFC 1928 section 6. A zero bound address is
// written as 0.0.0.0:0.
func appendReply5(b []byte, code Reply, bound netip.AddrPort) []byte {
	addr := bound.Addr().Unmap()
	b = append(b, version5, byte(code), 0)
	switch {
	case addr.Is6():
		b = append(b, atypIPv6)
		b = append(b, addr.AsSlice()...)
	case addr.Is4():
		b = append(b, atypIPv4)
		b = append(b, addr.AsSlice()...)
	default:
		b = append(b, atypIPv4, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint16(b, bound.Port())
}

// appendReply4 writes a SOCKS4 reply: 90 granted, 91 rejected or failed.
func appendReply4(b []byte, code Reply, bound netip.AddrPort) []byte {
	status := byte(91)
	if code == ReplyOK {
		status = 90
	}
	var ip [4]byte
	if a := bound.Addr().Unmap(); a.Is4() {
		ip = a.As4()
	}
	b = binary.BigEndian.AppendUint16(append(b, 0, status), bound.Port())
	return append(b, ip[:]...)
}
