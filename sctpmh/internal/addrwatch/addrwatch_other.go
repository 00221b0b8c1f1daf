//go:build !linux

package addrwatch

import "time"

func observe(func(snapshot) time.Duration) (poke, stop func(), err error) {
	return func() {}, func() {}, nil
}

func uplinks() ([]Uplink, error) { return nil, nil }
