//go:build !linux

package publish

import (
	"context"
	"net/netip"
)

// passing returns the addresses that this host has for a short time only. Only
// Linux says.
func passing() ([]netip.Addr, error) { return nil, nil }

// Notices tells of changes of this host's addresses. Only Linux does; elsewhere
// they are looked at from time to time.
func Notices(context.Context) (<-chan struct{}, error) { return nil, nil }
