package socks5

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

var crlfcrlf = []byte("\r\n\r\n")

// parseHTTP reads the head of an HTTP request, which must be a CONNECT. n is the
// length of the head. Header fields are skipped unread.
func parseHTTP(b []byte) (req Request, n int, err error) {
	end := bytes.Index(b, crlfcrlf)
	if end < 0 {
		if len(b) >= maxHTTP {
			return req, 0, malformed("HTTP request head is longer than %d octets", maxHTTP)
		}
		return req, 0, errShort
	}
	n = end + len(crlfcrlf)
	line, _, _ := strings.Cut(string(b[:end]), "\r\n")
	fields := strings.Split(line, " ")
	if len(fields) != 3 || !strings.HasPrefix(fields[2], "HTTP/1.") {
		return req, n, malformed("%.100q is no HTTP/1 request line", line)
	}
	if fields[0] != "CONNECT" {
		return req, n, &parseError{ReplyCommand, fmt.Sprintf("HTTP method %.20q is not CONNECT", fields[0])}
	}
	host, port, ok := splitAuthority(fields[1])
	if !ok {
		return req, n, malformed("%.300q is not host:port", fields[1])
	}
	req, err = newRequest(HTTP, host, port)
	return req, n, err
}

// splitAuthority splits host:port. "A client MUST send the port number even if
// the CONNECT request is based on a URI reference that contains an authority
// component with an elided port." (RFC 9110 section 9.3.6)
func splitAuthority(s string) (host string, port uint16, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, false
	}
	p, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil {
		return "", 0, false
	}
	host = s[:i]
	if strings.HasPrefix(host, "[") {
		inner, closed := strings.CutSuffix(host[1:], "]")
		a, err := netip.ParseAddr(inner)
		return inner, uint16(p), closed && err == nil && a.Is6()
	}
	return host, uint16(p), !strings.Contains(host, ":")
}

// httpStatus is the status line of a reply.
var httpStatus = map[Reply]string{
	ReplyOK:          "200 Connection established",
	ReplyNotAllowed:  "403 Forbidden",
	ReplyCommand:     "405 Method Not Allowed",
	ReplyTTLExpired:  "504 Gateway Timeout",
	ReplyFailure:     "502 Bad Gateway",
	ReplyNetwork:     "502 Bad Gateway",
	ReplyHost:        "502 Bad Gateway",
	ReplyRefused:     "502 Bad Gateway",
	ReplyAddressType: "400 Bad Request",
}

// appendReplyHTTP writes the reply to a CONNECT. A refusal says why in its body:
// people see it in their browser.
func appendReplyHTTP(b []byte, code Reply, why string) []byte {
	if code == ReplyOK {
		return append(b, "HTTP/1.1 200 Connection established\r\n\r\n"...)
	}
	allow := ""
	if code == ReplyCommand {
		allow = "Allow: CONNECT\r\n"
	}
	return fmt.Appendf(b, "HTTP/1.1 %s\r\n%sContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
		httpStatus[code], allow, len(why)+1, why)
}
