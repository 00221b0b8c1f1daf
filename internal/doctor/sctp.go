package doctor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/config"
)

// checkKernel says whether the kernel's SCTP can carry associations. Unless it
// is loaded or wanted it is not asked: asking may load it, and then it is in
// the way of raw sockets.
func checkKernel(b config.Backend, loaded bool, available func() error) []Finding {
	const check = "kernel-sctp"
	switch {
	case b == config.BackendRaw && loaded:
		return []Finding{{check, Warn, "the kernel speaks SCTP as well, and aborts associations that are not its own: ours", []string{
			"unload it: modprobe -r sctp", `or let it carry them: transport.backend = "kernel"`}}}
	case b != config.BackendKernel && !loaded:
		return []Finding{{check, Info, `not loaded, and not needed unless transport.backend = "kernel": mh doctor --backend kernel tries`, nil}}
	}
	err := available()
	switch {
	case err == nil:
		return []Finding{{check, OK, "can carry associations", nil}}
	case b == config.BackendKernel:
		return []Finding{{check, Fail, err.Error(), nil}} // it says what to do
	}
	return []Finding{{check, Info, `not needed unless transport.backend = "kernel"; ` + err.Error(), nil}}
}

// kernelLoaded reports whether the kernel speaks SCTP.
func kernelLoaded() bool {
	_, err := os.Stat("/proc/sys/net/sctp")
	return err == nil
}

// checkRaw says whether SCTP can be sent in IP itself.
func checkRaw(b config.Backend) []Finding {
	const check = "raw-sctp"
	err := openRaw()
	switch {
	case err == nil:
		return []Finding{{check, OK, "raw sockets for IP protocol 132 are permitted; networks with a translator rarely pass them", nil}}
	case b == config.BackendRaw:
		return []Finding{{check, Fail, "raw sockets for IP protocol 132: " + rawCause(err), []string{
			"setcap cap_net_raw+ep mh-gw (or mh-socks), or AmbientCapabilities=CAP_NET_RAW in its systemd unit"}}}
	}
	return []Finding{{check, Info, `not available, and not needed unless transport.backend = "raw": ` + rawCause(err), nil}}
}

func openRaw() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func rawCause(err error) string {
	if errors.Is(err, unix.EPERM) {
		return "this user lacks CAP_NET_RAW"
	}
	return err.Error()
}
