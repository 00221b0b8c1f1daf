//go:build !linux

package addrwatch

func watch(*tracker, func(Event)) (stop func(), err error) { return func() {}, nil }

func uplinks() ([]Uplink, error) { return nil, nil }
