package interop

import (
	"context"
	"io"
	"time"
)

// A stack is a foreign implementation of SCTP: one file of this package for
// each.
type stack interface {
	// name is the column in results.md.
	name() string

	// prepare builds or fetches what is needed, once, and returns the version.
	// The error says what is missing.
	prepare(ctx context.Context) (version string, err error)

	// native reports whether it is spoken to in IP itself, not in UDP.
	native() bool

	// paths is how many of the world's wires it can use.
	paths() int

	// lacks says why scenarios that need a feature cannot be.
	lacks() map[feature]string

	// quirks are what is worth a note.
	quirks() []quirk

	// slow is how many times the usual time it may take.
	slow() time.Duration

	// bulk is how many octets of the bulk scenarios are reasonable.
	bulk() int

	// start starts it in a world: it sets the world's peer and returns the far
	// ends of its wires, also with an error.
	start(ctx context.Context, w *world) (far [2]io.ReadWriteCloser, err error)
}

// A feature is what a scenario needs of a peer.
type feature string

const (
	dials       feature = "dials"
	collides    feature = "dials while it is dialled"
	forgets     feature = "restarts"
	restarted   feature = "notices a restart"
	large       feature = "messages of 256 KiB"
	unordered   feature = "unordered messages"
	manyStreams feature = "many streams"
	multihomed  feature = "several addresses"
	aborts      feature = "aborts"
	blackHoles  feature = "finds black holes of the path MTU"
	acceptsECN  feature = "answers congestion marks"
	sendsECN    feature = "sends packets that can be marked"
	notBuilt    feature = "an extension that we have not"
)

// stacks are all of them, in the order of the columns.
func stacks() []stack {
	return []stack{new(linux), new(linuxNative), new(usrsctpStack), new(pion)}
}
