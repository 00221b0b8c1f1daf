package engine

import "time"

// EventKind says what an [Event] reports.
type EventKind uint8

// The events of an association.
const (
	EventEstablished  EventKind = iota + 1 // the handshake is complete; DATA may flow
	EventPath                              // the path Pair is now in State
	EventFailover                          // traffic moved; Failover tells how
	EventPeerShutdown                      // the peer sends nothing more and waits: send what was accepted, then Shutdown
	EventClosed                            // the end; Err is nil after a graceful shutdown
)

// An Event is something the driver of an association wants to know.
type Event struct {
	Kind     EventKind
	Pair     Pair
	State    PathState
	Failover Failover
	Err      error
}

// FailoverCause says why traffic left a path.
type FailoverCause uint8

// Causes of a failover.
const (
	CauseTimeout   FailoverCause = iota + 1 // a retransmission timeout (RFC 9260 section 6.3.3)
	CauseProbe                              // a heartbeat was not answered
	CauseInterface                          // the local address or its link went away
	CauseAbort                              // another host answered for the address
	CauseCommand                            // the user moved it
	CauseLoss                               // it lost too much of what was sent
)

func (c FailoverCause) String() string {
	switch c {
	case CauseTimeout:
		return "timeout"
	case CauseProbe:
		return "probe"
	case CauseInterface:
		return "interface"
	case CauseAbort:
		return "abort"
	case CauseCommand:
		return "command"
	case CauseLoss:
		return "loss"
	}
	return "unknown"
}

// A Failover is one move of new data from a path to another.
type Failover struct {
	At       Time // when the path was left
	From, To Pair
	Cause    FailoverCause

	// Stall is the time without progress: from the last acknowledgement of
	// new data before the move, or the oldest send that waited for one, to
	// the first one after it.
	Stall time.Duration
}

// eventQueue holds what the driver has not read yet.
type eventQueue struct {
	queue []Event
	head  int
}

func (q *eventQueue) push(e Event) {
	if len(q.queue)-q.head >= maxEvents && e.Kind == EventPath {
		return
	}
	q.queue = append(q.queue, e)
}

func (q *eventQueue) pop() (Event, bool) {
	if q.head == len(q.queue) {
		q.queue, q.head = q.queue[:0], 0
		return Event{}, false
	}
	e := q.queue[q.head]
	q.queue[q.head] = Event{}
	q.head++
	return e, true
}
