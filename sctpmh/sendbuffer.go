package sctpmh

import "time"

// How much of an association's data its state machine holds.
const (
	// defaultSendBuffer carries 100 Mbit/s over a round trip of 300 ms, twice:
	// what was lost and sent again holds up the release of what came after it.
	defaultSendBuffer = 8 << 20

	// sendReserve is beyond the send buffer, for single messages of streams
	// that have nothing waiting.
	sendReserve = 256 << 10

	// sendAhead is the least that may wait for the congestion window to let it
	// out.
	sendAhead = 32 << 10
)

func (c *Config) sendBuffer() int {
	if c.SendBuffer > 0 {
		return c.SendBuffer
	}
	return defaultSendBuffer
}

// sendMark is how much the state machine may hold before it is full: three
// times what the network takes. One part is in flight, another may have arrived
// after something that was lost, and one is enough to have at hand. All more
// would wait in it, and whatever a stream has to say after its bulk, such as how
// much more of the other direction it can take, would wait behind that. When
// several paths are in use, what the quick ones take in the longest round trip
// waits for the slow ones.
func (l *loop) sendMark() int {
	l.scratch = l.engine.AppendPaths(l.scratch[:0])
	var longest time.Duration
	for i := range l.scratch {
		if p := &l.scratch[i]; p.InUse {
			longest = max(longest, p.SRTT)
		}
	}
	mark := sendAhead
	for i := range l.scratch {
		if p := &l.scratch[i]; p.InUse {
			mark += int(3 * float64(p.Cwnd) * float64(max(longest, 1)) / float64(max(p.SRTT, 1)))
		}
	}
	return min(mark, l.stack.ep.cfg.sendBuffer())
}

// held is how much the state machine holds.
func (l *loop) held() int {
	return l.stack.ep.cfg.sendBuffer() + sendReserve - l.engine.SendSpace()
}
