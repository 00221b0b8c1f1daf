package tcpemu

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"time"
)

// What the user of a connection does.
const (
	useEcho    = iota
	useDiscard // and close
	useWelcome // write and close
	useKeep    // nothing, for the time being
	useReset
	useDeaf // write, and close the receiving direction
	useBulk // write more than a window, half-close and read all
	useHold // do not answer yet
	useBusy // refuse
	useReject
	uses
)

// What follows is the users of a session that is attacked, good and bad ones.

// accept takes a connection. The session calls it while the attack waits for
// the session to come to rest, so the script is its to read.
func (x *attack) accept(o *Open) error {
	how := useEcho
	if o.Target.Port != victimPort {
		how = x.script.below(uses)
	}
	switch how {
	case useBusy:
		return errors.New("busy")
	case useReject:
		o.Reject(CodeDenied, "not you")
		return nil
	case useHold:
		x.held = append(x.held, o)
		return nil
	}
	if c, err := o.Accept(netip.AddrPort{}); err == nil {
		x.use(c, how)
	}
	return nil
}

// user runs what a user does.
func (x *attack) user(f func()) {
	x.busy.Add(1)
	go func() { // ends with f, which ends with the connection
		defer x.busy.Add(-1)
		f()
	}()
}

// use has a user handle a connection.
func (x *attack) use(c *Conn, how int) {
	x.user(func() {
		switch how {
		default:
			io.Copy(c, c)
			c.Close()
		case useDiscard:
			io.Copy(io.Discard, c)
			c.Close()
		case useWelcome:
			c.Write([]byte("welcome"))
			c.Close()
		case useKeep:
			x.mu.Lock()
			x.kept = append(x.kept, c)
			x.mu.Unlock()
		case useReset:
			c.Reset()
		case useDeaf:
			c.CloseRead()
			c.Write(make([]byte, 5000))
			c.Close()
		case useBulk:
			c.Write(make([]byte, initialWindow+1))
			c.CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		}
	})
}

// dial has a user of theirs open a connection, and give up after a minute.
func (x *attack) dial() {
	how := x.script.below(uses)
	early := make([]byte, x.script.below(5)*5000)
	x.user(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if c, err := x.s.open(ctx, &request{target: Target{Port: 80}, early: early}); err == nil {
			x.use(c, how)
		}
	})
	x.settle()
}

// answer answers a connection that was held.
func (x *attack) answer() {
	if len(x.held) == 0 {
		return
	}
	o := x.held[0]
	x.held = x.held[1:]
	if how := x.script.below(uses); how == useReject || how == useBusy {
		o.Reject(CodeRefused, "")
	} else if c, err := o.Accept(netip.AddrPort{}); err == nil {
		x.use(c, how)
	}
	x.settle()
}

// touch has a user do something to a connection that it kept.
func (x *attack) touch() {
	i, what := x.script.next(), x.script.below(13)
	if len(x.kept) == 0 {
		return
	}
	c := x.kept[i%len(x.kept)]
	x.user(func() {
		switch what {
		case 0:
			c.Close()
		case 1:
			c.Read(make([]byte, 64<<10))
		case 2:
			c.CloseWrite()
		case 3:
			c.CloseRead()
		case 4:
			c.Reset()
		case 5:
			c.SetDeadline(time.Now().Add(time.Second))
		case 6:
			c.Write(binary.BigEndian.AppendUint64(nil, 1))
		case 7:
			c.Write(make([]byte, 100_000))
		case 8:
			c.SetNoDelay(false)
		case 9:
			c.SetNoDelay(true)
		case 10:
			c.SetLinger(i % 3)
		case 11:
			c.WriteUrgent('!')
		case 12:
			c.SetKeepAlive(true)
		}
	})
	x.settle()
}
