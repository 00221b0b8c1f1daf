package doctor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/config"
)

const udpPortCheck = "udp-port"

// checkUDPPort binds the UDP port on each address, as a daemon would.
func checkUDPPort(h *host, backend config.Backend, port uint16) (out []Finding) {
	if backend != config.BackendUDP && backend != "" {
		return nil // UDP ports mean nothing
	}
	what := fmt.Sprintf("port %d", port)
	if port == 0 {
		what = "any free port"
	}
	var good, ours []*local
	for _, x := range h.locals {
		if x.link == nil {
			continue // checkUplinks says so
		}
		at := netip.AddrPortFrom(x.addr, port)
		err := bind(at)
		if err == nil {
			good = append(good, x)
			continue
		}
		seen, advice := fmt.Sprintf("%v: %v", at, cause(err)), bindAdvice(err)
		if errors.Is(err, unix.EADDRINUSE) {
			who := holder(at)
			if who.ours() {
				ours = append(ours, x)
				continue
			}
			seen += fmt.Sprintf(" by %v", who)
		}
		out = append(out, Finding{udpPortCheck, Fail, seen, advice})
	}
	if len(ours) > 0 {
		out = append(out, Finding{udpPortCheck, OK, what + " is held by a daemon of ours on " + list(ours, (*local).String), nil})
	}
	if len(good) > 0 {
		out = append(out, Finding{udpPortCheck, OK, what + " can be bound on " + list(good, (*local).String), nil})
	}
	return out
}

// bind binds a UDP socket and lets it go again.
func bind(at netip.AddrPort) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	return c.Close()
}

func bindAdvice(err error) []string {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return []string{"end that program, or choose another transport.udp-port and name it in the capability record"}
	case errors.Is(err, unix.EACCES):
		return []string{"ports below 1024 need CAP_NET_BIND_SERVICE, and capability records may not name them: choose another transport.udp-port"}
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return []string{"the address is not ready: duplicate address detection goes on or has found a duplicate (ip -6 address)"}
	}
	return nil
}

// cause is what the system says, without the addresses, which are said
// already.
func cause(err error) error {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}
