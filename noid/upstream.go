package noid

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// A Proto is how a DNS server is talked to.
type Proto uint8

// The protocols.
const (
	ProtoUDP   Proto = iota // and TCP for what does not fit (RFC 7766)
	ProtoTCP                // TCP only
	ProtoTLS                // DNS over TLS (RFC 7858)
	ProtoHTTPS              // DNS over HTTPS (RFC 8484)
)

var protos = [...]struct {
	scheme string
	port   uint16
}{{"udp", 53}, {"tcp", 53}, {"tls", 853}, {"https", 443}}

// encrypted reports whether nobody on the way can read or change what is said.
func (p Proto) encrypted() bool { return p == ProtoTLS || p == ProtoHTTPS }

// An Upstream is a DNS server that is asked.
type Upstream struct {
	Addr    netip.AddrPort
	TrustAD bool // who runs this host believes its AD bit; see Believed
	Proto   Proto
	Name    Name   // ProtoTLS, ProtoHTTPS: whose certificate it must have
	Path    string // ProtoHTTPS: where questions go, such as "/dns-query"
}

// ParseUpstream reads
//
//	udp://ADDRESS[:PORT]
//	tcp://ADDRESS[:PORT]
//	tls://ADDRESS[:PORT]#NAME
//	https://NAME[:PORT]/PATH@ADDRESS
//
// Servers are given by address: a name would have to be looked up first. The
// NAME is what the certificate is checked against, always: with an
// authenticated server this is the strict profile of RFC 8310 section 5, so its
// AD bit is believed.
func ParseUpstream(s string) (Upstream, error) {
	up, err := parseUpstream(s)
	if err != nil {
		return Upstream{}, fmt.Errorf("DNS server %q: %w: want udp://ADDRESS[:PORT], tcp://ADDRESS[:PORT], tls://ADDRESS[:PORT]#NAME or https://NAME/PATH@ADDRESS, such as udp://192.0.2.53 or tls://[2001:db8::53]:853#dns.example", s, err)
	}
	return up, nil
}

func parseUpstream(s string) (up Upstream, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return up, errors.Unwrap(err) // without the URL, which is in the message already
	}
	scheme := -1
	for i, p := range protos {
		if u.Scheme == p.scheme {
			scheme = i
		}
	}
	if scheme < 0 || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Opaque != "" {
		return up, errors.New("not the URL of a DNS server")
	}
	up.Proto = Proto(scheme)
	up.TrustAD = up.Proto.encrypted()
	host, name, port := u.Hostname(), u.Fragment, u.Port()
	if up.Proto == ProtoHTTPS {
		name = host
		i := strings.LastIndexByte(u.Path, '@')
		if i < 1 || u.Fragment != "" {
			return up, errors.New("no address after the path")
		}
		host = strings.TrimSuffix(strings.TrimPrefix(u.Path[i+1:], "["), "]")
		up.Path = u.Path[:i]
	} else if u.Path != "" {
		return up, errors.New("it has a path")
	}
	if up.Proto.encrypted() {
		if up.Name, err = ParseName(name); err != nil {
			return up, fmt.Errorf("the name on its certificate: %w", err)
		}
	} else if u.Fragment != "" {
		return up, errors.New("it has a name, yet no certificate")
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return up, fmt.Errorf("%q is not an IP address", host)
	}
	n := uint64(protos[scheme].port)
	if port != "" {
		if n, err = strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return up, fmt.Errorf("%q is not a port", port)
		}
	}
	up.Addr = netip.AddrPortFrom(a, uint16(n))
	return up, nil
}

// String returns the form that ParseUpstream reads.
func (u Upstream) String() string {
	switch u.Proto {
	case ProtoHTTPS:
		where := url.URL{Scheme: "https", Host: u.authority(), Path: u.Path + "@" + u.Addr.Addr().String()}
		return where.String()
	case ProtoTLS:
		return "tls://" + u.Addr.String() + "#" + u.Name.String()
	}
	return protos[u.Proto].scheme + "://" + u.Addr.String()
}

// label is how errors name the server.
func (u Upstream) label() string {
	if u.Proto == ProtoUDP {
		return u.Addr.String()
	}
	return u.String()
}

// authority is the host of an HTTPS URL, with the port where it is not the
// usual one.
func (u Upstream) authority() string {
	if u.Addr.Port() == protos[ProtoHTTPS].port {
		return u.Name.String()
	}
	return net.JoinHostPort(u.Name.String(), strconv.Itoa(int(u.Addr.Port())))
}

// Believed reports whether the server is to be believed when it says that it
// validated: nobody between can have set its AD bit.
func (u Upstream) Believed() bool {
	return u.TrustAD && (u.Proto.encrypted() || u.Addr.Addr().IsLoopback())
}

// channel is how trustworthy the way is that the server's answers come.
func (u Upstream) channel(m *dns.Msg) Channel {
	switch {
	case m.AuthenticatedData && u.Believed():
		return ChanAD
	case u.Proto.encrypted():
		return ChanEncrypted
	}
	return ChanPlain
}
