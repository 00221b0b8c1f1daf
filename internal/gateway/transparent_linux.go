package gateway

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// transparent lets a socket accept connections to addresses that are not this
// machine's (IP_TRANSPARENT of ip(7)).
func transparent(network, _ string, c syscall.RawConn) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if strings.HasSuffix(network, "6") {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); cerr != nil {
		return cerr
	}
	if err != nil {
		return fmt.Errorf("%w: mode \"tproxy\" needs CAP_NET_ADMIN", os.NewSyscallError("setsockopt IP_TRANSPARENT", err))
	}
	return nil
}
