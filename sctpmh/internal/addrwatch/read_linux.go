package addrwatch

import (
	"errors"

	"golang.org/x/sys/unix"
)

// interruptions bounds the reads in a row that a change may spoil: where
// changes never end, one read takes long enough.
const interruptions = 3

// read takes a snapshot.
func read(q *socket) (s snapshot, err error) {
	for range interruptions {
		if s, err = readOnce(q); !errors.Is(err, errInterrupted) {
			break
		}
	}
	return s, err
}

// readOnce reads the links last: with a link its addresses and routes go, and
// the cause is to be the link. The routes are those of all tables: hosts with
// several uplinks often give each a table.
func readOnce(q *socket) (snapshot, error) {
	s := snapshot{links: map[int]link{}, exits: map[uplink]bool{}}
	for _, kind := range []uint16{unix.RTM_GETROUTE, unix.RTM_GETADDR, unix.RTM_GETLINK} {
		if err := q.dump(kind, s.add); err != nil {
			return s, err
		}
	}
	return s, nil
}
