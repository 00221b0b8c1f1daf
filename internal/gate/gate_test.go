package gate

import "testing"

func TestNotifyWakesAllWhoWait(t *testing.T) {
	var s Signal
	s.Notify() // nobody waits
	a, b := s.Wait(), s.Wait()
	select {
	case <-a:
		t.Fatal("woken by an earlier Notify")
	default:
	}
	s.Notify()
	<-a
	<-b
	select {
	case <-s.Wait():
		t.Fatal("a later wait is woken by an earlier Notify")
	default:
	}
}
