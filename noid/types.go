package noid

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Binding is how a name was tied to an address. Stronger ties compare
// greater.
type Binding uint8

// The bindings.
const (
	BindingNone       Binding = iota // an address only: may talk, may not be multihomed
	BindingHint                      // the peer said so, unproven
	BindingClaim                     // the name's forward records contain the address
	BindingReverse                   // the address's reverse record gives the name, and forward holds
	BindingReverseAll                // that holds for every locator
	BindingTLS                       // the peer proved the name on this association
	BindingStatic                    // the operator's file
)

var bindingNames = [...]string{"none", "hint", "claim", "reverse", "reverse-all", "tls", "static"}

func (b Binding) String() string { return bindingNames[b] }

// ParseBinding reads a binding; what is none counts as BindingNone.
func ParseBinding(s string) Binding { return Binding(max(slices.Index(bindingNames[:], s), 0)) }

// Channel is how trustworthy the way to the records was.
type Channel uint8

// The channels.
const (
	ChanPlain     Channel = iota // unprotected DNS
	ChanEncrypted                // DNS over TLS or HTTPS
	ChanAD                       // a trusted resolver says that it validated
	ChanValidated                // validated here
	ChanLocal                    // the operator's file
)

func (c Channel) String() string {
	return [...]string{"plain", "encrypted", "ad", "validated", "local"}[c]
}

// Source is where a locator was found.
type Source uint8

// The sources.
const (
	FromA Source = iota
	FromAAAA
	FromHint
	FromStatic
	FromPeer
	FromObserved
	FromLiteral
)

func (s Source) String() string {
	return [...]string{"a", "aaaa", "hint", "static", "peer", "observed", "literal"}[s]
}

// A Locator is one address of a host.
type Locator struct {
	Addr         netip.Addr // unmapped
	From         Source
	Prio, Weight uint16 // lower priority first
	Expire       time.Time
	Stale        bool
}

// CapFlags are the flags of a host's capability record.
type CapFlags uint8

// The flags.
const (
	FlagEmul        CapFlags = 1 << iota // TCP emulation
	FlagIData                            // message interleaving
	FlagGateway                          // splices to TCP for others
	FlagNative                           // native SCTP, IP protocol 132
	FlagTLSRequired                      // sealed associations only
)

// A Capability says that a host speaks mh, and how.
type Capability struct {
	Target   Name   // the host's identity
	UDPPort  uint16 // of RFC 6951; 0: native SCTP
	SCTPPort uint16
	Version  uint8
	Flags    CapFlags
	SPKI     [][32]byte // hashes of its keys
	Prio     uint16
	Via      string       // "SVCB", "TXT", "SRV" or "static"
	Hints    []netip.Addr // where the target may be, until its own records say
}

// A Drop is an address that was found and not taken.
type Drop struct {
	Addr   netip.Addr
	Reason string
}

// A Set is what is known of one host: an immutable snapshot.
type Set struct {
	Name     Name // the host's identity
	Asked    Name // what was asked for
	Locators []Locator
	Cap      *Capability // nil: it does not speak mh
	Binding  Binding
	Channel  Channel
	Expire   time.Time
	Gen      uint64 // another one if and only if the members are others
	Dropped  []Drop

	// StaleUntil is how long members may be used that no server confirms any
	// more; the zero time unless some of the locators are stale.
	StaleUntil time.Time

	hostLevel bool // the name is one host's: an SVCB target, or static
	trust     Trust
	filters   *filters
	reached   []netip.Addr // members that associations have confirmed before
	reversed  []netip.Addr // with BindingReverse: those whose reverse record says so; nil: all
	partial   bool         // a question about members was not answered: there may be more
	rank      int          // of the sets of one answer, best first
	err       error        // why there are no locators
}

// Contains reports whether an address is one of the set's.
func (s *Set) Contains(a netip.Addr) bool {
	a = a.Unmap()
	return slices.ContainsFunc(s.Locators, func(l Locator) bool { return l.Addr == a })
}

// AddrPorts returns the locators with the UDP port of the host's capability.
func (s *Set) AddrPorts() (out []netip.AddrPort) {
	if s.Cap == nil {
		return nil
	}
	for _, l := range s.Locators {
		out = append(out, netip.AddrPortFrom(l.Addr, s.Cap.UDPPort))
	}
	return out
}

// A Result is the answer to a name.
type Result struct {
	MH      []*Set // one for each host that speaks mh, best first; never merged
	Legacy  *Set   // where plain TCP would go; nil: nowhere
	Partial error  // part of the answer is missing, and why
	Capable bool   // the name spoke mh not long ago: a Partial is to be taken as an attack or a fault

	// Late waits for the capability record when the addresses came long before
	// it, and returns what MH lacks. Nil: it was in time.
	Late func(context.Context) ([]*Set, error)

	// Hints, of a Result of Begin, are where hosts that Late waits for may be, as
	// their names' record has it: good for no more than to begin with.
	Hints []*Set

	// More, of a Result of Begin, waits for a Legacy that has more addresses, nil
	// after the last. Nil: there will be none.
	More func(context.Context) (*Set, error)

	// NoFallback says that the trust mode forbids Legacy in place of MH.
	NoFallback bool

	named bool // its record names hosts that speak mh, be their addresses found or not
}

// An Error says which step failed for which name, and where. errors.Is finds
// the kind in it.
type Error struct {
	Step     string // such as "SVCB _mhsctp.gw.example.net."
	Upstream string // the server that answered or did not, may be empty
	Kind     error  // one of the errors below
	Detail   string
}

func (e *Error) Error() string {
	s := e.Step + ": " + e.Kind.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Upstream != "" {
		s += " from " + e.Upstream
	}
	return s
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

type kind string

func (k kind) Error() string { return string(k) }

// The kinds of errors.
const (
	ErrNoName       kind = "not a host name"
	ErrNXDomain     kind = "no such name"
	ErrNoData       kind = "the name has no address"
	ErrTimeout      kind = "no answer"
	ErrServer       kind = "server failure"
	ErrBogus        kind = "the answer is forged or its signatures are broken"
	ErrDowngrade    kind = "it may speak mh, and what would say so was kept away"
	ErrNotContained kind = "the name's addresses do not contain the peer's"
	ErrNoReverse    kind = "no reverse record leads to a name"
	ErrNoReferral   kind = "no name is known that has the address"
	ErrPolicy       kind = "refused by the trust mode"
	ErrLimit        kind = "too many lookups"
	ErrSpecialUse   kind = "special-use name"
)

// Consistency says what to believe when servers tell different things.
type Consistency uint8

// The consistencies.
const (
	ConsistencyFirst Consistency = iota // the first that answers
	ConsistencyAll                      // what all servers agree on; each of them has to answer
)

var consistencyNames = [...]string{"first", "all"}

func (c Consistency) String() string { return consistencyNames[c] }

// ParseConsistency reads a consistency.
func ParseConsistency(s string) (Consistency, error) {
	if i := slices.Index(consistencyNames[:], s); i >= 0 {
		return Consistency(i), nil
	}
	return 0, fmt.Errorf("consistency %q: want one of %q", s, consistencyNames)
}

// Trust is what it takes to use further addresses of a peer.
type Trust uint8

// The trust modes.
const (
	Opportunistic Trust = iota // any binding from claim on, over any channel
	Reverse                    // reverse record and forward record
	Strict                     // a validated channel, or TLS, or the static file
	Pinned                     // TLS or the static file only
	Single                     // never: multihoming is off
)

var trustNames = [...]string{"opportunistic", "reverse", "strict", "pinned", "single"}

func (t Trust) String() string { return trustNames[t] }

// ParseTrust reads a trust mode.
func ParseTrust(s string) (Trust, error) {
	if i := slices.Index(trustNames[:], s); i >= 0 {
		return Trust(i), nil
	}
	return 0, fmt.Errorf("trust mode %q: want one of %q", s, trustNames)
}

// enough reports whether the mode lets a set's addresses be probed.
func (t Trust) enough(b Binding, c Channel) bool {
	switch t {
	case Opportunistic:
		return b >= BindingClaim
	case Reverse:
		return b >= BindingReverse
	case Strict:
		return b >= BindingTLS || b >= BindingClaim && c >= ChanAD
	case Pinned:
		return b >= BindingTLS
	}
	return false
}
