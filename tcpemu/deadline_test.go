package tcpemu

import (
	"testing"
	"testing/synctest"
	"time"
)

// Both deadlines of a connection pass at once, also when only one of the timers
// has had its turn; and one that was stopped never does.
func TestDeadlinePassesByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(time.Second)
		var d, stopped deadline
		stopped.set(at)
		stopped.stop()
		seen := make(chan bool)
		time.AfterFunc(time.Second, func() { seen <- isClosed(d.wait()) }) // ahead of d's own timer
		d.set(at)
		if !<-seen {
			t.Error("the deadline has not passed at its time")
		}
		if isClosed(stopped.wait()) {
			t.Error("a deadline that was stopped has passed")
		}
		d.set(time.Time{})
		if isClosed(d.wait()) {
			t.Error("a deadline that was taken back has passed")
		}
	})
}
