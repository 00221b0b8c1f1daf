package config

import (
	"errors"
	"fmt"
)

// Mode is how an association uses its paths; "" means "failover" too.
type Mode string

// Modes.
const (
	ModeFailover  Mode = "failover"  // one at a time, another one when it fails
	ModeAggregate Mode = "aggregate" // all at once
)

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(b []byte) error {
	switch Mode(b) {
	case ModeFailover, ModeAggregate:
		*m = Mode(b)
		return nil
	}
	return fmt.Errorf("%q: want \"failover\" or \"aggregate\"", b)
}

// UnmarshalTOML reads a mode.
func (m *Mode) UnmarshalTOML(raw []byte) error { return unquoted(raw, m) }

// CheckMode reports why the paths cannot be used as the mode says.
func (t *Transport) CheckMode() error {
	if t.Mode == ModeAggregate && t.Backend == BackendKernel {
		return errors.New(`transport.mode: the kernel takes one path at a time: leave the key out, or take another backend than "kernel"`)
	}
	return nil
}
