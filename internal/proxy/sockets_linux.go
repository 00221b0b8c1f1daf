package proxy

import (
	"errors"
	"io/fs"
	"os"
	"slices"
)

// allSockets returns this host's TCP sockets.
func allSockets() (all []socket, err error) {
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		all = slices.AppendSeq(all, sockets(table))
	}
	return all, nil
}
