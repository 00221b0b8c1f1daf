// Package splice joins two connections so that each end believes to speak with
// the other: octets are copied both ways, the end of a direction is passed on
// as such, a reset as a reset, and an urgent octet as an urgent one.
package splice

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// A Result says what passed.
type Result struct {
	// Up and Down count the octets from a to b and from b to a.
	Up, Down int64

	// Err is why the connection ended early; nil when both directions ended
	// on their own.
	Err error
}

// Run copies between a and b until both directions have ended, then closes
// both. When one side is reset, or ctx ends, both are reset.
func Run(ctx context.Context, a, b net.Conn) (r Result) {
	stop := context.AfterFunc(ctx, func() { reset(a); reset(b) })
	defer stop()
	var wg sync.WaitGroup
	var up, down error
	wg.Go(func() { r.Up, up = pass(b, a) }) // ends when a or b does
	r.Down, down = pass(a, b)
	wg.Wait()
	if ctx.Err() != nil {
		r.Err = ctx.Err()
	} else {
		r.Err = cause(up, down)
	}
	a.Close()
	b.Close()
	return r
}

// cause picks the error that came first: the other direction fails only
// because both sides were then reset.
func cause(errs ...error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return errors.Join(errs...)
}

const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// pass copies one direction and passes its end on.
func pass(dst, src net.Conn) (n int64, err error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	n, err = copyAll(newLeg(dst), newLeg(src), *buf)
	if err == nil {
		err = closeWrite(dst)
	}
	if err != nil {
		reset(dst)
		reset(src)
	}
	return n, err
}

// closeWrite ends a direction. That the other side has ended everything
// already is no error.
func closeWrite(c net.Conn) error {
	h, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return c.Close()
	}
	err := h.CloseWrite()
	if errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// reset ends a connection so that its peer sees a reset: a tcpemu connection
// by RESET, a TCP one by closing with linger zero.
func reset(c net.Conn) {
	switch c := c.(type) {
	case interface{ Reset() }:
		c.Reset()
		return
	case interface{ SetLinger(int) error }:
		_ = c.SetLinger(0)
	}
	_ = c.SetDeadline(time.Unix(1, 0)) // unblocks a copy that Close does not
	_ = c.Close()
}
