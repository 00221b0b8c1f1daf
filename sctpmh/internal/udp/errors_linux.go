package udp

import (
	"errors"

	"golang.org/x/sys/unix"
)

// offloadRefused reports whether an error of a segmented send may mean that
// the route or its device cannot do it.
func offloadRefused(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

// mayBePending reports whether an error is one that the kernel makes of ICMP
// messages (icmp_err_convert and udp_err in its net/ipv4, icmpv6_err_convert in
// net/ipv6), so that it may be about an earlier datagram.
func mayBePending(err error) bool {
	var e unix.Errno
	if !errors.As(err, &e) {
		return false
	}
	switch e {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENOPROTOOPT, unix.ECONNREFUSED, unix.EMSGSIZE,
		unix.EOPNOTSUPP, unix.EHOSTDOWN, unix.ENONET, unix.EACCES, unix.EPROTO:
		return true
	}
	return false
}

// LinkGone reports whether a send failed because its uplink has no way out:
// the device is down, or its address or route is gone.
func LinkGone(err error) bool {
	for _, e := range []error{unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENODEV, unix.EADDRNOTAVAIL, unix.ENXIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
