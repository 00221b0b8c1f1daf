// Package talk is what a host and the init of its guest say to each other: a
// file with which the guest boots, then messages in both directions over one
// serial port, as JSON, one to a line.
package talk

import "net/netip"

// Where the host puts things for the guest.
const (
	SetupFile = "setup.json" // a Setup
	Modules   = "modules"    // kernel modules, to be loaded in the order of their names
)

// Setup is how the guest is to be before a program runs.
type Setup struct {
	NICs    []NIC
	Sysctls []Sysctl // in this order
}

// A NIC is a device, known by its hardware address, and what it gets.
type NIC struct {
	MAC    string
	Addrs  []netip.Prefix
	Routes []Route
}

// A Route leads to a prefix by way of a router.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// A Sysctl is a setting of the kernel, such as net.sctp.encap_port.
type Sysctl struct{ Name, Value string }

// A Message says one thing, in the field that is set, about the program with
// a number that the host has chosen.
type Message struct {
	Program int `json:",omitempty"`

	// From the host.
	Run   *Run   `json:",omitempty"`
	Input []byte `json:",omitempty"` // for the program's standard input
	End   bool   `json:",omitempty"` // of its input
	Kill  bool   `json:",omitempty"`
	Off   bool   `json:",omitempty"` // switch the machine off

	// From the guest.
	Ready  bool   `json:",omitempty"` // once, first of all: the setup is done
	Output []byte `json:",omitempty"` // the program's standard output
	Errors []byte `json:",omitempty"` // its standard error
	Exit   *Exit  `json:",omitempty"` // it has ended; nothing else of it follows
}

// Run starts a program.
type Run struct {
	Args []string // the first is its path
	Env  []string // beyond PATH, HOME and TMPDIR
}

// Exit is how a program ended.
type Exit struct {
	Code  int    // -1: by a signal, or it was never started
	Error string // when it is not 0
}
