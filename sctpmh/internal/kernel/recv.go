package kernel

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
)

// Recv waits for the next message or event: of an event e.Kind is not NoEvent.
// Messages come whole and belong to the caller. What waits in the kernel is
// bounded by its receive buffer, and closes the peer's window, so events come
// after the messages that came before them.
//
// The error is io.EOF after a graceful end, *AbortError after an ABORT,
// *NotPermittedError after Restrict had to end the association,
// syscall.ETIMEDOUT when the peer answers no more, net.ErrClosed after Close
// or Abort, else ctx's. All but the last stay.
func (c *Conn) Recv(ctx context.Context) (m Message, e Event, err error) {
	for {
		m, e, err := c.next(ctx)
		if err != nil {
			return Message{}, Event{}, err
		}
		wanted, err := c.note(e)
		if err != nil {
			return Message{}, Event{}, err
		}
		if wanted {
			return m, e, nil
		}
	}
}

// next waits for the next message or event of any kind.
func (c *Conn) next(ctx context.Context) (m Message, e Event, err error) {
	err = c.sock.in.do(ctx, func(fd int) error {
		m, e, err = c.in.next(fd)
		if err == io.EOF && standing(fd) {
			err = syscall.EAGAIN
		}
		if end := c.Err(); err == syscall.EAGAIN && end != nil {
			return end // nothing is left that was to come before it
		}
		return err
	})
	switch {
	case err == nil:
		return m, e, nil
	case ctx.Err() != nil && err == ctx.Err():
		return m, e, err
	case err == errTooLong:
		c.Abort("message too long")
	case err == syscall.ECONNRESET:
		err = &AbortError{Remote: true}
	}
	return m, e, c.ended(err)
}

// standing reports whether the association is there. After a SHUTDOWN of the
// peer's nothing more comes, and the kernel says so at once; but what was sent
// may not have arrived, and closing would abort it. The end of the association
// wakes who waits.
func standing(fd int) bool {
	var st status
	_, err := getOption(fd, optStatus, octets(&st))
	return err == nil
}

// note takes notice of what an event means for the association, and reports
// whether the user should. After the end messages and events that were there
// before it are still to come.
func (c *Conn) note(e Event) (wanted bool, err error) {
	switch e.Kind {
	case commUp:
		return false, nil
	case commLost, cannotStart:
		c.ended(c.lost(e))
		return false, nil
	case shutdownComplete:
		c.ended(io.EOF)
		return false, nil
	case Restarted:
		_ = c.readStreams() // the old numbers stay if it has ended meanwhile
		return true, c.enforce()
	case PathChanged:
		return true, c.enforce()
	case Adapted:
		c.mu.Lock()
		c.adaptation = e.adaptation
		c.mu.Unlock()
	}
	return true, nil
}

// lost is the error for an association that broke.
func (c *Conn) lost(e Event) error {
	c.mu.Lock()
	cause := c.broke
	c.mu.Unlock()
	if cause == nil {
		_ = c.sock.control(func(fd int) error { cause = pendingError(fd); return nil })
	}
	code, reason := parseAbort(e.abort)
	switch {
	case len(e.abort) > 0:
		return &AbortError{Remote: true, Code: code, Reason: reason}
	case cause == syscall.ECONNRESET:
		return &AbortError{Remote: true, Code: e.code}
	case cause == syscall.ECONNABORTED, cause == nil:
		return &AbortError{Code: e.code}
	}
	return cause
}

// errTooLong is found where a message has more than MaxMessage octets.
var errTooLong = fmt.Errorf("message of the peer exceeds %d octets", MaxMessage)

// partFlags say what receivePart has read.
type partFlags uint8

const (
	partLast         partFlags = 1 << iota // of a message or notification
	partNotification                       // it is of one
)

// partSize is how much is read at once: small messages in one piece.
const partSize = 64 << 10

// parts are buffers to read into. An association that waits holds none.
var parts = sync.Pool{New: func() any { return new([partSize]byte) }}

// reassembly puts together what the kernel delivers in parts: messages that
// exceed partSize, or the window.
type reassembly struct {
	message      []byte // so far
	notification []byte // so far
	held         func() (Message, Event, error)
}

// hold has next return this first.
func (r *reassembly) hold(m Message, e Event, err error) {
	r.held = func() (Message, Event, error) { return m, e, err }
}

// next reads the next message or event; syscall.EAGAIN means that the kernel
// has no more of it yet.
func (r *reassembly) next(fd int) (m Message, e Event, err error) {
	if h := r.held; h != nil {
		r.held = nil
		return h()
	}
	buf := parts.Get().(*[partSize]byte)
	defer parts.Put(buf)
	for {
		n, info, flags, err := receivePart(fd, buf[:])
		switch {
		case err != nil:
			return m, e, err
		case n == 0 && flags == 0:
			return m, e, io.EOF
		case flags&partNotification != 0:
			if e, ok := r.notified(buf[:n], flags); ok {
				return m, e, nil
			}
		default:
			if len(r.message)+n > MaxMessage {
				return m, e, errTooLong
			}
			r.message = append(r.message, buf[:n]...)
			if flags&partLast != 0 {
				info.Data, r.message = r.message, nil
				return info, e, nil
			}
		}
	}
}

// notified adds a part of a notification, and reports whether it is one that
// says something.
func (r *reassembly) notified(b []byte, flags partFlags) (e Event, ok bool) {
	// What exceeds the limit is data that was not sent, which nobody reads.
	r.notification = append(r.notification, b[:min(len(b), maxNotification-len(r.notification))]...)
	if flags&partLast == 0 {
		return e, false
	}
	e, ok = parseNotification(r.notification)
	e.abort = slices.Clone(e.abort)
	if r.notification = r.notification[:0]; cap(r.notification) > partSize {
		r.notification = nil
	}
	if e.Kind == PartialLost {
		r.message = nil
	}
	return e, ok
}
