//go:build !linux

package gateway

import (
	"errors"
	"fmt"
	"syscall"
)

// transparent is Linux's.
func transparent(string, string, syscall.RawConn) error {
	return fmt.Errorf("mode \"tproxy\": %w", errors.ErrUnsupported)
}
