package tcpemu

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/sctpmh"
)

// leaveBy returns a net.Dialer's Control that has packets leave by an uplink:
// the source address alone does not choose it unless there is source routing.
// That needs no privilege since Linux 5.7; without, source routing has to do.
// The port is chosen when the destination is known, so that one port serves
// many of them.
func leaveBy(u sctpmh.Uplink) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // older multipath TCP has it not
			if u.Interface != 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, u.Interface)
			}
		})
		if err != nil && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("bind to the interface of %v: %w", u.Addr, err)
		}
		return cerr
	}
}
