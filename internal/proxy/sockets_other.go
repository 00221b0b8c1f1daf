//go:build !linux

package proxy

import (
	"errors"
	"fmt"
)

// allSockets is Linux's.
func allSockets() ([]socket, error) {
	return nil, fmt.Errorf("whose sockets they are is unknown: %w", errors.ErrUnsupported)
}
