package tcpemu

import (
	"net"
	"strconv"
	"strings"
)

// An Addr is the stable address of an end of a connection: a name and a port,
// never the path in use.
type Addr struct {
	Host string // a name, an IP address, or "" when the peer gave none
	Port uint16 // see LocalAddr and RemoteAddr of Conn
}

// Network returns "mh".
func (a Addr) Network() string { return "mh" }

// String returns host:port.
func (a Addr) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port))) }

// splitTarget reads a dialled address.
func splitTarget(address string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		p, err := net.LookupPort("tcp", service)
		if err != nil {
			return "", 0, err
		}
		n = uint64(p)
	}
	return strings.TrimSuffix(host, "."), uint16(n), nil
}
