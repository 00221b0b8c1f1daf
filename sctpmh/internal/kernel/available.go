package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
)

// Available reports why the SCTP of the kernel cannot be used in this network
// namespace, and what to do, or nil. With a udpPort it must be open for SCTP
// over UDP there; 0 asks for native SCTP only. Asking loads the kernel's
// module where that is allowed.
func Available(udpPort uint16) error {
	if err := hasProtocol(); err != nil {
		return err
	}
	if udpPort != 0 {
		if err := hasUDPPort(udpPort); err != nil {
			return err
		}
	}
	on, err := sysctl("pf_enable")
	if err == nil && on == 0 {
		return errors.New("kernel SCTP: net.sctp.pf_enable is 0, so a dead path would be left after several timeouts only: sysctl -w net.sctp.pf_enable=1")
	}
	return nil
}

func hasProtocol() error {
	fd, err := openSocket(false)
	switch {
	case errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.ESOCKTNOSUPPORT), errors.Is(err, syscall.EAFNOSUPPORT):
		return fmt.Errorf("this kernel has no SCTP (%w): load it with modprobe sctp, install the package with the kernel's extra modules, or take the udp backend", err)
	case errors.Is(err, errors.ErrUnsupported):
		return err // of this system, see socket_other.go
	case err != nil:
		return fmt.Errorf("no SCTP socket can be made: %w: if a sandbox forbids it take the udp backend", err)
	}
	return closeDescriptor(fd)
}

// hasUDPPort compares with what the sysctl says: the kernel opens the port for
// all sockets of the namespace.
func hasUDPPort(want uint16) error {
	have, err := sysctl("udp_port")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("this kernel has no SCTP over UDP (Linux 5.11 is the first): take the udp backend")
	case err != nil:
		return fmt.Errorf("net.sctp.udp_port cannot be read: %w", err)
	case have != int(want):
		return fmt.Errorf("kernel SCTP: net.sctp.udp_port is %d, wanted %d: sysctl -w net.sctp.udp_port=%d before the daemon starts", have, want, want)
	}
	return nil
}

func sysctl(name string) (int, error) {
	text, err := readSysctl(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(text))
}
