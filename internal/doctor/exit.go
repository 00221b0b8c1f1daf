package doctor

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An exit is where packets for far hosts leave.
type exit struct {
	device  string
	gateway netip.Addr // invalid: none, or not known
	err     error      // they do not leave
}

// far are addresses that are far from everybody, and to which nobody has a
// route of its own: those of the first root name server. Nothing is sent there.
var (
	far4 = netip.MustParseAddr("198.41.0.4")
	far6 = netip.MustParseAddr("2001:503:ba3e::2:30")
)

func farFrom(a netip.Addr) netip.Addr {
	if a.Is4() {
		return far4
	}
	return far6
}

var (
	errNoRoute  = errors.New("no route")
	errLoopback = errors.New("loopback")
)

// findExits finds out where packets from an address leave.
func (h *host) findExits(nl *netlink.Handle, l *local) {
	if l.addr.IsLoopback() {
		l.own.err, l.plain.err = errLoopback, errLoopback
		return
	}
	far := farFrom(l.addr)
	l.plain = lookup(nl, far, netlink.RouteGetOptions{SrcAddr: l.addr.AsSlice()})
	if l.own = l.plain; l.link.virtual {
		return
	}
	err := connect(l.addr, l.link.name, far)
	if errors.Is(err, errUnbound) {
		h.unbound = err
		return
	}
	l.own = exit{device: l.link.name, err: err}
	if err == nil {
		l.own.gateway, l.own.err = gateway(nl, l, far)
	}
}

// gateway returns the router behind a bound socket's route. Over IPv4 a socket
// that is bound to a device needs no route: without one the kernel takes the
// far host for a neighbour. Where neighbours have to be asked for a hardware
// address nobody answers, and that is no way out.
func gateway(nl *netlink.Handle, l *local, far netip.Addr) (netip.Addr, error) {
	o := netlink.RouteGetOptions{SrcAddr: l.addr.AsSlice(), OifIndex: l.link.index}
	e := lookup(nl, far, o)
	if l.addr.Is6() && e.device != l.link.name {
		o.SrcAddr = nil // with a source address the kernel takes the device for a mere wish
		e = lookup(nl, far, o)
	}
	if e.device != l.link.name {
		e.gateway = netip.Addr{} // there is a route, or connect would have failed
	}
	if l.addr.Is4() && !e.gateway.IsValid() && l.link.asks {
		o.FIBMatch = true
		return netip.Addr{}, lookup(nl, far, o).err
	}
	return e.gateway, nil
}

// lookup asks the kernel for a route.
func lookup(nl *netlink.Handle, far netip.Addr, o netlink.RouteGetOptions) exit {
	routes, err := nl.RouteGetWithOptions(far.AsSlice(), &o)
	if noRoute(err) || err == nil && len(routes) == 0 {
		return exit{err: errNoRoute}
	}
	if err != nil {
		return exit{err: err}
	}
	r := routes[0]
	var e exit
	via := r.Gw
	if v, ok := r.Via.(*netlink.Via); ok { // a gateway of the other family
		via = v.Addr
	}
	if gw, ok := netip.AddrFromSlice(via); ok {
		e.gateway = gw.Unmap()
	}
	if out, err := nl.LinkByIndex(r.LinkIndex); err == nil {
		e.device = out.Attrs().Name
	}
	return e
}

func noRoute(err error) bool {
	return errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}

var errUnbound = errors.New("this user may not bind sockets to devices")

// connect opens a socket as package sctpmh does and has the kernel look for a
// route to a far host. Nothing is sent.
func connect(from netip.Addr, device string, far netip.Addr) error {
	family := unix.AF_INET6
	if from.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, device)
	if errors.Is(err, unix.EPERM) {
		return errUnbound
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(from, 0))
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(far, 9)) // any port would do
	}
	if noRoute(err) {
		return errNoRoute
	}
	return err
}

func sockaddr(a netip.Addr, port int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4(), Port: port}
	}
	return &unix.SockaddrInet6{Addr: a.As16(), Port: port}
}
