package tcpemu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// scriptEnd is what scripts use of a connection.
type scriptEnd interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
	SetLinger(sec int) error
	SetNoDelay(bool) error
	SetKeepAlive(bool) error
}

// subject is one of the two connections that a script is played on.
type subject struct {
	name    string
	ends    [2]scriptEnd
	written [2]int         // octets, by calls that have returned
	read    [2]int         // octets
	waiting [2]chan passed // what a call in the background returned
}

// shown is what a call showed: how many octets, as far as TCP promises that,
// and of which class its error is.
type shown struct {
	n   int
	err string
	bad bool // octets other than those that were written
}

// passed is what a call returned.
type passed struct {
	shown  shown
	octets int // read or written
}

func (r shown) String() string {
	if r.bad {
		return fmt.Sprintf("%d wrong octets, %s", r.n, r.err)
	}
	return fmt.Sprintf("%d, %s", r.n, r.err)
}

// class is all of an error that programs look at.
func class(err error) string {
	if err == nil || err == io.EOF {
		return fmt.Sprint(err)
	}
	op := "bare"
	var o *net.OpError
	if errors.As(err, &o) {
		op = o.Op
	}
	for _, e := range []error{net.ErrClosed, os.ErrDeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOTCONN, syscall.ETIMEDOUT} {
		if errors.Is(err, e) {
			return op + ": " + e.Error()
		}
	}
	return op + ": other: " + err.Error()
}

// patternPeriod is after how many octets what an end writes comes again.
const patternPeriod = 1 << 16

// patterns are what the ends write, from any offset below the period on.
var patterns = sync.OnceValue(func() (p [2][]byte) {
	for e := range p {
		p[e] = make([]byte, patternPeriod, patternPeriod+flood)
		for i := range p[e] {
			p[e][i] = byte(i*7 + i>>8 + 31*e)
		}
		for len(p[e]) < cap(p[e]) {
			p[e] = append(p[e], p[e][:patternPeriod]...)
		}
	}
	return p
})

// octets is what an end writes at an offset.
func octets(end, offset, n int) []byte { return patterns()[end][offset%patternPeriod:][:n] }

// player plays a script on TCP and on ours and compares what they show. What it
// remembers is what the applications know; where it must know more, it asks the
// kernel about the connection of TCP.
type player struct {
	tcp, ours subject
	link      *tcpLink
	at        int     // the step
	parted    bool    // from here on the two cannot be the same
	pending   [2]verb // the call of an end that waits in the background
	closed    [2]bool
	finished  [2]bool // CloseWrite, or Close
	shut      [2]bool // CloseRead
	flooded   [2]bool // it has written more than the other end has read, and how much differs
	expired   struct{ read, write [2]bool }
	lingers   [2]int
}

const nothing verb = -1

// play returns the first difference that is not a known one, "" if there is
// none.
func (p *player) play(s callScript) (difference string) {
	for i, st := range s {
		p.at = i
		if !p.sensible(st) {
			continue
		}
		if p.parted {
			return ""
		}
		if d := p.step(st); d != "" {
			return fmt.Sprintf("step %d, %v: %s", i+1, st, d)
		}
	}
	return ""
}

func (p *player) step(st scriptStep) (difference string) {
	if st.verb == doFlood {
		st.n = flood
	}
	if st.verb == doWrite && p.deaf(1-st.end) {
		st.n = min(st.n, smallPiece)
	}
	background := st.verb == doFlood || st.verb == doRead && st.n > 0 && !p.closed[st.end] && !p.expired.read[st.end] && !p.link.readable(st.end)
	if background {
		if st.verb == doRead {
			st.n = min(st.n, smallPiece)
		}
		p.pending[st.end] = st.verb
		for _, x := range []*subject{&p.tcp, &p.ours} {
			done := make(chan passed, 1)
			x.waiting[st.end] = done
			go func() { // ends when the call does, with the connection at the latest
				done <- x.call(st)
				close(done)
			}()
		}
	} else {
		if st.verb == doClose {
			p.link.closing(st.end, p.lingers[st.end])
		}
		tcp, ours := p.count(&p.tcp, st, p.call(&p.tcp, st)), p.count(&p.ours, st, p.call(&p.ours, st))
		p.note(st, tcp)
		if d := p.compare(st, tcp, ours); d != "" {
			return d
		}
	}
	if d := p.rest(); d != "" {
		return d
	}
	for e := range 2 {
		if d := p.join(e, st.verb == doDrain && e != st.end); d != "" {
			return d
		}
	}
	return ""
}

// deaf reports whether an end answers data by a reset.
func (p *player) deaf(e int) bool { return p.closed[e] || p.shut[e] && p.finished[e] }

// flooding reports whether a flood of an end goes on.
func (p *player) flooding(e int) bool {
	return p.pending[e] == doFlood && !p.finished[e] && !p.expired.write[e]
}

// messy reports whether the two connections hold different amounts.
func (p *player) messy() bool { return p.flooded[0] || p.flooded[1] }

// sensible reports whether TCP promises what a step shows.
func (p *player) sensible(st scriptStep) bool {
	e, other := st.end, 1-st.end
	busy := p.pending[e] != nothing
	switch st.verb {
	case doWrite:
		held := p.tcp.written[e] - p.tcp.read[other]
		return !busy && (p.closed[e] || !p.messy() && held < 48<<10)
	case doRead:
		return !busy && (p.closed[e] || st.n == 0 || !p.messy())
	case doFlood:
		return !busy && !p.messy() && p.pending[other] == nothing
	case doDrain:
		return !busy && !p.closed[e] && !p.shut[e] && !p.expired.read[e] && p.flooded[other]
	case doCloseWrite:
		return !p.flooded[other]
	case doCloseRead:
		return !p.messy()
	case doClose:
		return !p.messy() || p.lingers[e] <= 0
	case doDeadlineSoon:
		return busy
	}
	return true
}

// call makes the call of a step.
func (p *player) call(x *subject, st scriptStep) passed {
	if st.verb != doDrain {
		return x.call(st)
	}
	want := x.written[1-st.end] - x.read[st.end]
	if p.pending[1-st.end] == doFlood {
		want += flood
	}
	return x.drain(st.end, want)
}

func (x *subject) call(st scriptStep) passed {
	c, e := x.ends[st.end], st.end
	var err error
	switch st.verb {
	case doWrite, doFlood:
		n, err := c.Write(octets(e, x.written[e], st.n))
		if st.verb == doFlood && err != nil {
			return passed{shown{err: class(err)}, n}
		}
		return passed{shown{n: n, err: class(err)}, n}
	case doRead:
		b := make([]byte, st.n)
		n, err := c.Read(b)
		return passed{shown{n, class(err), wrong(e, x.read[e], b[:n])}, n}
	case doCloseWrite:
		err = c.CloseWrite()
	case doCloseRead:
		err = c.CloseRead()
	case doClose:
		err = c.Close()
	case doLinger:
		err = c.SetLinger(st.n)
	case doDeadlinePast:
		err = c.SetDeadline(time.Unix(1, 0))
	case doDeadlineFuture:
		err = c.SetDeadline(time.Now().Add(time.Hour))
	case doDeadlineNone:
		err = c.SetDeadline(time.Time{})
	case doDeadlineSoon:
		err = c.SetDeadline(time.Now().Add(time.Millisecond))
	case doReadDeadlinePast:
		err = c.SetReadDeadline(time.Unix(1, 0))
	case doWriteDeadlinePast:
		err = c.SetWriteDeadline(time.Unix(1, 0))
	case doNoDelay:
		err = c.SetNoDelay(st.n == 1)
	case doKeepAlive:
		err = c.SetKeepAlive(st.n == 1)
	}
	return passed{shown: shown{err: class(err)}}
}

// wrong reports octets that an end read and the other did not write there.
func wrong(e, offset int, b []byte) bool { return !bytes.Equal(b, octets(1-e, offset, len(b))) }

// drain reads what the other end has written, or is writing, or as far as it
// gets after a reset. How much that is differs.
func (x *subject) drain(e, want int) (r passed) {
	b := make([]byte, 64<<10)
	for r.octets < want {
		n, err := x.ends[e].Read(b[:min(want-r.octets, len(b))])
		r.shown.bad = r.shown.bad || wrong(e, x.read[e]+r.octets, b[:n])
		r.octets += n
		if err != nil {
			r.shown.err = class(err)
			return r
		}
	}
	r.shown.err = "all"
	return r
}

// count adds up what a call has read or written.
func (p *player) count(x *subject, st scriptStep, r passed) shown {
	switch st.verb {
	case doRead, doDrain:
		x.read[st.end] += r.octets
	default:
		x.written[st.end] += r.octets
	}
	return r.shown
}

// note keeps what a step has changed.
func (p *player) note(st scriptStep, tcp shown) {
	e := st.end
	if tcp.err != "<nil>" && tcp.err != "all" {
		return
	}
	switch st.verb {
	case doCloseWrite:
		p.finished[e] = true
	case doCloseRead:
		p.shut[e] = true
	case doClose:
		p.finished[e], p.closed[e] = true, true
	case doWrite:
		p.link.vain[e] = tcp.n > 0 && p.deaf(1-e)
	case doLinger:
		p.lingers[e] = st.n
	case doDeadlinePast, doDeadlineSoon:
		p.expired.read[e], p.expired.write[e] = true, true
	case doReadDeadlinePast:
		p.expired.read[e] = true
	case doWriteDeadlinePast:
		p.expired.write[e] = true
	case doDeadlineFuture, doDeadlineNone:
		p.expired.read[e], p.expired.write[e] = false, false
	case doDrain:
		p.flooded[1-e] = false
	}
}

// join compares a call in the background that must have returned by now, or
// must not.
func (p *player) join(e int, drained bool) (difference string) {
	v := p.pending[e]
	over := p.closed[e]
	switch v {
	case nothing:
		return ""
	case doRead:
		over = over || p.expired.read[e] || p.link.readable(e) || p.link.received(e) > p.tcp.read[e]
	case doFlood:
		p.flooded[e] = true
		over = over || p.expired.write[e] || p.finished[e] || drained || p.link.state(e) == tcpClose
	}
	what := scriptStep{e, v, 0}
	if !over {
		select {
		case r := <-p.ours.waiting[e]:
			return fmt.Sprintf("%v returns with ours: %v, and waits with TCP", what, r.shown)
		default:
			return ""
		}
	}
	var got [2]shown
	for i, x := range []*subject{&p.tcp, &p.ours} {
		select {
		case r := <-x.waiting[e]:
			got[i] = p.count(x, what, r)
		case <-time.After(stepLimit):
			return fmt.Sprintf("%v still waits with %s", what, x.name)
		}
	}
	p.pending[e] = nothing
	if v == doFlood {
		p.flooded[e] = !drained
	}
	if d := p.compare(what, got[0], got[1]); d != "" {
		return "then " + what.String() + ": " + d
	}
	return p.rest()
}

// compare is where known differences pass.
func (p *player) compare(st scriptStep, tcp, ours shown) (difference string) {
	if tcp == ours && !tcp.bad {
		return ""
	}
	for _, k := range knownDifferences {
		if k.is(p, st, tcp, ours) {
			p.parted = k.parts
			return ""
		}
	}
	return fmt.Sprintf("TCP %v; ours %v", tcp, ours)
}

// rest waits until nothing moves any more.
func (p *player) rest() (problem string) {
	if err := p.link.rest(p); err != nil {
		return "TCP does not come to rest: " + err.Error()
	}
	if err := p.restOurs(); err != nil {
		return "ours does not come to rest: " + err.Error()
	}
	return ""
}

// end closes what is left and waits for what runs in the background.
func (p *player) end() {
	for e := range 2 {
		_ = p.tcp.ends[e].SetLinger(0)
		p.tcp.ends[e].Close()
		p.ours.ends[e].(*Conn).Reset()
	}
	for e, v := range p.pending {
		if v != nothing {
			<-p.tcp.waiting[e]
			<-p.ours.waiting[e]
		}
	}
}
