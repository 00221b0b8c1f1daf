package tcpemu

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// talking has a test talk to a connection that its session has opened on
// stream 1, in virtual time.
func talking(t *testing.T, test func(d *dialogue, c *Conn)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, sessionConfig{dialled: true})
		d.want(0, typeHello)
		d.sayHello(1, 0)
		end := d.open("")
		f := d.want(1, typeOpen)
		d.say(1, frame{typ: typeOpenOK, epoch: f.epoch, credit: initialWindow})
		test(d, d.wantOpened(end))
	})
}

// write writes without waiting, which nothing here should make it do.
func (d *dialogue) write(c *Conn, b string) {
	d.t.Helper()
	if n, err := c.Write([]byte(b)); n != len(b) || err != nil {
		d.t.Fatalf("wrote %d of %q, %v", n, b, err)
	}
}

// wantSilence lets time pass in which the session must say nothing.
func (d *dialogue) wantSilence(until time.Duration) {
	d.t.Helper()
	select {
	case m := <-d.out:
		d.t.Fatalf("the session says %x on stream %d", m.Data, m.Stream)
	case <-time.After(until):
	}
}

// fill uses the peer's credit up, but for some octets.
func (d *dialogue) fill(c *Conn, but int) {
	d.t.Helper()
	d.write(c, strings.Repeat("x", initialWindow-but))
	for n := 0; n < initialWindow-but; n += len(d.next().Data) {
	}
}

func TestNoDelayIsTheDefault(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		for _, s := range []string{"a", "b", "c"} {
			d.write(c, s)
			d.wantData(1, s)
		}
		d.wantSilence(time.Second)
	})
}

func TestNagleHoldsAShortTailUntilItIsAcknowledged(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		must(t, c.SetNoDelay(false))
		d.write(c, "first")
		d.wantData(1, "first")
		ping := d.next()
		f, _, _ := parseFrame(ping.Data)
		if f.typ != typePing || ping.Unordered || ping.Stream != 1 {
			t.Fatalf("%+v instead of an ordered PING behind what was sent", ping)
		}
		d.write(c, "sec")
		d.write(c, "ond")
		d.wantSilence(holdLimit / 2)

		long := strings.Repeat("x", d.a.MaxPayload())
		d.write(c, long)
		d.wantData(1, ("second" + long)[:len(long)])
		d.wantSilence(holdLimit / 4)

		d.say(1, frame{typ: typePong, opaque: f.opaque})
		d.wantData(1, long[len(long)-6:])
		d.want(1, typePing)
	})
}

func TestNagleHoldsForABoundedTime(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		must(t, c.SetNoDelay(false))
		d.write(c, "first")
		d.wantData(1, "first")
		d.want(1, typePing)
		d.write(c, "second")
		d.wantSilence(holdLimit - time.Millisecond)
		d.wantData(1, "second")
		d.want(1, typePing)
		if n := len(d.s.pings.waiting); n != 1 {
			t.Errorf("%d PINGs are remembered", n)
		}
	})
}

// What is held back goes out before what ends the wait.
func TestHeldIsNotForgotten(t *testing.T) {
	for name, end := range map[string]func(*Conn) error{
		"SetNoDelay": func(c *Conn) error { return c.SetNoDelay(true) },
		"CloseWrite": (*Conn).CloseWrite,
		"Close":      (*Conn).Close,
	} {
		t.Run(name, func(t *testing.T) {
			talking(t, func(d *dialogue, c *Conn) {
				must(t, c.SetNoDelay(false))
				d.write(c, "first")
				d.wantData(1, "first")
				d.want(1, typePing)
				d.write(c, "second")
				must(t, end(c))
				d.wantData(1, "second")
				if name != "SetNoDelay" {
					if f := d.want(1, typeFin); f.offset != 11 {
						t.Errorf("FIN at %d", f.offset)
					}
				}
			})
		})
	}
}

// A deadline that passes while the peer gives no credit takes nothing of what
// was held back before, and a reset drops it.
func TestHeldWithoutCredit(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		d.fill(c, 3)
		must(t, c.SetNoDelay(false))
		d.write(c, "y")
		d.wantData(1, "y")
		d.want(1, typePing)
		d.write(c, "held")
		must(t, c.SetWriteDeadline(time.Now().Add(time.Millisecond)))
		n, err := c.Write(make([]byte, 3000))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n != 0 {
			t.Errorf("wrote %d octets, %v", n, err)
		}
		d.wantData(1, "he")
		must(t, c.SetWriteDeadline(time.Time{}))
		d.say(1, frame{typ: typeCredit, epoch: c.epoch, offset: initialWindow + 1})
		d.wantData(1, "l")
		d.want(1, typePing)
		c.Reset()
		d.want(1, typeReset)
		d.wantSilence(time.Second)
	})
}

// Close does not wait for credit, also where a Write has taken in hand what
// was held back.
func TestCloseDoesNotWaitForHeld(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		d.fill(c, 1)
		must(t, c.SetNoDelay(false))
		d.write(c, "y")
		d.wantData(1, "y")
		ping := d.want(1, typePing)
		d.write(c, "held")
		d.say(1, frame{typ: typePong, opaque: ping.opaque})
		synctest.Wait()
		wrote := make(chan error, 1)
		go func() { // ends with Close
			_, err := c.Write([]byte("more"))
			wrote <- err
		}()
		synctest.Wait()
		begun := time.Now()
		must(t, c.Close())
		if took := time.Since(begun); took > 0 {
			t.Errorf("Close took %v", took)
		}
		wantIs(t, "Write", <-wrote, net.ErrClosed)
	})
}

// CloseWrite interrupts a Write that leaves something held back, and does not
// wait for the credit that this needs.
func TestCloseWriteDoesNotWait(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		must(t, c.SetNoDelay(false))
		d.write(c, "first")
		d.wantData(1, "first")
		d.want(1, typePing)
		d.write(c, "held")
		ended := make(chan error, 1)
		go func() { // ends when CloseWrite interrupts it
			_, err := c.Write(make([]byte, 2*initialWindow))
			ended <- err
		}()
		for n := 5; n < initialWindow; n += len(d.next().Data) {
		}
		synctest.Wait()
		must(t, c.CloseWrite())
		wantIs(t, "Write", <-ended, syscall.EPIPE)
		d.say(1, frame{typ: typeCredit, epoch: c.epoch, offset: 3 * initialWindow})
		for {
			if m := d.next(); m.PPID == ppidCtrl {
				if f, _, _ := parseFrame(m.Data); f.typ == typeFin {
					break
				}
			}
		}
	})
}

func TestKeepAliveGivesUp(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		d.wantSilence(time.Hour) // off by default
		must(t, c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: time.Second, Count: 3}))
		d.wantSilence(time.Minute - time.Millisecond)
		f := d.want(1, typePing)
		d.say(1, frame{typ: typePong, opaque: f.opaque})
		d.wantSilence(time.Minute - time.Second)
		d.sayData(1, "x") // anything will do
		d.wantSilence(time.Minute - time.Millisecond)
		for range 3 {
			d.want(1, typePing)
			d.wantSilence(time.Second - time.Millisecond)
		}
		if f := d.want(1, typeReset); f.code != CodeTimeout {
			t.Errorf("RESET with code %d", f.code)
		}
		d.wantRead(c, "x")
		_, err := c.Read(make([]byte, 1))
		wantIs(t, "Read", err, syscall.ETIMEDOUT)
		_, err = c.Write([]byte("x"))
		wantIs(t, "Write", err, syscall.ETIMEDOUT)
	})
}

func TestKeepAliveSettings(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		must(t, c.SetKeepAlive(true))
		d.wantSilence(defaultKeepAliveIdle - time.Millisecond)
		d.want(1, typePing)
		must(t, c.SetKeepAlivePeriod(time.Minute))
		d.wantSilence(time.Minute - time.Millisecond)
		d.want(1, typePing)
		must(t, c.SetKeepAlive(false))
		d.wantSilence(time.Hour)
		must(t, c.Close())
		wantIs(t, "SetKeepAlive after Close", c.SetKeepAlive(true), net.ErrClosed)
	})
}

// SO_LINGER: Close returns once the peer's host has all of it.
func TestLingerWaitsForThePeer(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		must(t, c.SetLinger(10))
		d.write(c, "last")
		begun := time.Now()
		closed := make(chan time.Duration, 1)
		go func() { // ends with PONG
			c.Close()
			closed <- time.Since(begun)
		}()
		d.wantData(1, "last")
		d.want(1, typeFin)
		f := d.want(1, typePing)
		time.Sleep(3 * time.Second)
		d.say(1, frame{typ: typePong, opaque: f.opaque})
		if took := <-closed; took != 3*time.Second {
			t.Errorf("Close took %v, the peer's answer 3 s", took)
		}
	})
	talking(t, func(d *dialogue, c *Conn) {
		must(t, c.SetLinger(2))
		begun := time.Now()
		must(t, c.Close())
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("Close took %v, SetLinger was 2 s", took)
		}
		d.want(1, typeFin) // it goes on in the background
	})
}

// The peer does not end its direction: the stream is not lost for ever.
func TestClosedConnectionsExpire(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		must(t, c.Close())
		d.want(1, typeFin)
		d.wantSilence(lingerLimit - time.Millisecond)
		if f := d.want(1, typeReset); f.code != CodeTimeout {
			t.Errorf("RESET with code %d", f.code)
		}
	})
}

// The peer has ended its direction and gives no credit for what is held back:
// that does not keep the connection for ever either.
func TestClosedConnectionsExpireWithHeld(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		d.fill(c, 1)
		must(t, c.SetNoDelay(false))
		d.write(c, "y")
		d.wantData(1, "y")
		d.want(1, typePing)
		d.write(c, "held")
		d.say(1, frame{typ: typeFin})
		synctest.Wait()
		must(t, c.Close())
		d.wantSilence(lingerLimit - time.Millisecond)
		if f := d.want(1, typeReset); f.code != CodeTimeout {
			t.Errorf("RESET with code %d", f.code)
		}
	})
}

// A connection that is reset or closed keeps nothing for its reader any more: it
// gives its window back, whether the peer answers or not.
func TestEndGivesTheWindowBack(t *testing.T) {
	for name, end := range map[string]func(*Conn){"Reset": (*Conn).Reset, "Close": func(c *Conn) { c.Close() }} {
		synctest.Test(t, func(t *testing.T) {
			w := new(Windows)
			d := newDialogue(t, sessionConfig{dialled: true, windows: w})
			d.want(0, typeHello)
			d.sayHello(1, 0)
			opened := d.open("")
			f := d.want(1, typeOpen)
			d.say(1, frame{typ: typeOpenOK, epoch: f.epoch, credit: initialWindow})
			end(d.wantOpened(opened))
			if n := w.used.Load(); n != 0 {
				t.Errorf("%s: %d octets are still counted", name, n)
			}
		})
	}
}

// Reset and Close give up what nobody has read, at once and for good: no Read
// finds it, and it fills no memory until the peer has answered, or for ever if
// it never does.
func TestEndDropsWhatWasReceived(t *testing.T) {
	for name, end := range map[string]func(*Conn){"Reset": (*Conn).Reset, "Close": func(c *Conn) { c.Close() }} {
		talking(t, func(d *dialogue, c *Conn) {
			d.sayData(1, "unread")
			d.say(1, frame{typ: typeUrg, offset: 6, octet: '!'})
			synctest.Wait()
			end(c)
			if len(c.recv.chunks) > 0 {
				t.Errorf("%s: %d messages are kept for nobody", name, len(c.recv.chunks))
			}
			if n, err := c.Read(make([]byte, 10)); n > 0 || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: read %d octets, %v", name, n, err)
			}
			d.sayData(1, "late")
			synctest.Wait()
			must(t, d.s.check())
			d.want(1, typeReset)
			d.say(1, frame{typ: typeReset, epoch: c.epoch})
			synctest.Wait()
			if len(c.recv.chunks) > 0 {
				t.Errorf("%s: %d messages are kept of a connection that is over", name, len(c.recv.chunks))
			}
		})
	}
}

// What a peer does not answer is forgotten with the connection.
func TestUnansweredPingsAreForgotten(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		must(t, c.SetNoDelay(false))
		must(t, c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 9}))
		must(t, c.SetLinger(1))
		d.write(c, "x")
		time.Sleep(3500 * time.Millisecond)
		d.write(c, "y") // and a PING behind it
		must(t, c.Close())
		d.say(1, frame{typ: typeFin})
		synctest.Wait()
		d.s.pings.mu.Lock()
		defer d.s.pings.mu.Unlock()
		if n := len(d.s.pings.waiting); n > 0 {
			t.Errorf("%d PINGs wait for an answer", n)
		}
	})
}

func TestUrgent(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		d.write(c, "ab")
		must(t, c.WriteUrgent('!'))
		d.write(c, "c")
		d.wantData(1, "ab")
		if f := d.want(1, typeUrg); f.offset != 2 || f.octet != '!' {
			t.Errorf("URG %+v", f)
		}
		d.wantData(1, "c")
		must(t, c.CloseWrite())
		if f := d.want(1, typeFin); f.offset != 4 {
			t.Errorf("FIN at %d: the urgent octet is one of the stream", f.offset)
		}

		d.sayData(1, "12")
		d.say(1, frame{typ: typeUrg, offset: 2, octet: '3'})
		d.sayData(1, "45")
		d.wantNothing()
		for _, want := range []struct {
			s      string
			urgent bool
		}{{"12", false}, {"3", true}, {"45", false}} {
			b := make([]byte, 10)
			n, urgent, err := c.ReadUrgent(b)
			if string(b[:n]) != want.s || urgent != want.urgent || err != nil {
				t.Errorf("read %q, %v, %v, want %+v", b[:n], urgent, err, want)
			}
		}
		d.say(1, frame{typ: typeUrg, offset: 5, octet: '6'})
		d.sayData(1, "7")
		d.wantNothing()
		d.wantRead(c, "67") // who does not ask has it in line
	})
}

func TestReadFromAndWriteTo(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		text := strings.Repeat("0123456789", 20_000)
		n, err := c.ReadFrom(io.MultiReader(strings.NewReader("short"), strings.NewReader(text)))
		if n != int64(len(text)+5) || err != nil {
			t.Fatalf("ReadFrom: %d, %v", n, err)
		}
		var sent strings.Builder
		for sent.Len() < len(text)+5 {
			sent.Write(d.next().Data)
		}
		if sent.String() != "short"+text {
			t.Error("other octets were sent than read")
		}
		for i := range 20 {
			d.sayData(1, text[i*1000:][:1000])
		}
		d.say(1, frame{typ: typeFin, offset: 20_000})
		var got bytes.Buffer
		if n, err := c.WriteTo(&got); n != 20_000 || err != nil || got.String() != text[:20_000] {
			t.Errorf("WriteTo: %d octets, %v", n, err)
		}
	})
}
