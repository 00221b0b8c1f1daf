package config

import (
	"fmt"

	"github.com/sctpmh/mh/noid"
)

// DNSSEC returns how answers are validated.
func (d *DNS) DNSSEC() noid.DNSSEC {
	sec := noid.DNSSEC{Validate: d.Validate, Anchors: d.Anchors}
	for _, n := range d.Unsigned {
		sec.Unsigned = append(sec.Unsigned, n.Name)
	}
	return sec
}

// Validates reports whether answers are validated here.
func (d *DNS) Validates() bool {
	for _, n := range d.Unsigned {
		if n.Name == "." {
			return false
		}
	}
	if d.Validate != nil {
		return *d.Validate
	}
	return d.Trust.Trust == noid.Strict
}

// ZoneName is the name of a zone, "." for all of the DNS.
type ZoneName struct{ noid.Name }

// UnmarshalText reads a zone's name.
func (z *ZoneName) UnmarshalText(b []byte) error {
	if string(b) == "." {
		z.Name = "."
		return nil
	}
	n, err := noid.ParseName(string(b))
	if err != nil {
		return fmt.Errorf("%q: want a zone such as \"corp.example\", or \".\"", b)
	}
	z.Name = n
	return nil
}
