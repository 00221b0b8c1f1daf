package engine

import "time"

// quality is how far a path that answers can be trusted: how much it loses, and
// how often it came and went. It decides between paths that are active.
type quality struct {
	lossRate float64 // of what was sent lately, in [0, 1]
	lossy    bool    // it exceeds lossyAbove, and has not yet come below lossyBelow

	// A path that comes back is not preferred at once: it has to stay for a
	// while, longer each time that it fails again soon.
	flaps int
	left  Time     // when it was not active any more
	since Time     // when it became active
	hold  deadline // until then it is not preferred to one that works
	brief bool     // it was away no longer than a probe and its answer take
}

const (
	// lossWeight is the weight of one packet in the rate of losses: some tens
	// of packets decide, within two seconds at any rate that matters.
	lossWeight = 1.0 / 32

	// lossyAbove is the rate at which a path is left for one that loses less: a
	// window can hardly grow there (RFC 9438 section 5.2: at 10 % CUBIC, too,
	// sends a few packets each round trip). lossyBelow ends that; the gap keeps
	// a path near either from coming and going.
	lossyAbove = 0.10
	lossyBelow = 0.02

	// lossyWindow is the window, in packets, up to which losses count.
	lossyWindow = 10

	// holdMin and holdMax bound how long a path that came back is not yet
	// preferred. It doubles with each failure that follows within flapMemory
	// times the last one.
	holdMin    = time.Second
	holdMax    = 2 * time.Minute
	flapMemory = 8
)

// delivered notes that a packet arrived, lost that one did not although later
// ones did: a path that is dead is no lossy one. They report whether that
// changes what the path is worth.
func (q *quality) delivered() bool { return q.note(0) }
func (q *quality) lost() bool      { return q.note(1) }

func (q *quality) note(loss float64) bool {
	q.lossRate += lossWeight * (loss - q.lossRate)
	was := q.lossy
	q.lossy = q.lossRate > lossyAbove || q.lossy && q.lossRate > lossyBelow
	return q.lossy != was
}

// failed notes that the path stopped to work.
func (q *quality) failed(now Time) {
	if q.since != 0 && now.Sub(q.since) > flapMemory*q.holdFor() {
		q.flaps = 0
	}
	q.flaps++
	q.left = now
	q.hold.stop()
}

// returned notes that it works again. One that answers within a probe timeout
// had lost the end of a flight, and was not gone.
func (q *quality) returned(now Time, pto time.Duration) {
	q.since, q.brief = now, now.Sub(q.left) <= pto
	if q.flaps > 0 {
		q.hold.set(now.Add(q.holdFor()))
	}
}

// suspend leaves a lossy path out, while all paths are in use at once, for as long
// as one that failed has to stay. It carries nothing then that would show that it
// has become better, so it gets another chance after that.
func (q *quality) suspend(now Time) {
	q.failed(now)
	q.hold.set(now.Add(q.holdFor()))
}

// forgive gives it that.
func (q *quality) forgive(now Time) { q.lossRate, q.lossy, q.since = lossyBelow, false, now }

// holdFor is how long the path has to stay before it is preferred.
func (q *quality) holdFor() time.Duration {
	return min(holdMin<<min(max(q.flaps-1, 0), 10), holdMax)
}
