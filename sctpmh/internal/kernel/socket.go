package kernel

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// A socket is one of the one-to-one style, non-blocking and in the runtime's
// poller. Its two directions are used at the same time, each by one at a time.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	in   half
	out  half
}

func newSocket(fd int) (*socket, error) {
	file := os.NewFile(uintptr(fd), "sctp")
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetDeadline(time.Time{}) // fails outside the poller
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &socket{
		file: file, raw: raw,
		in:  half{turn: make(chan struct{}, 1), poll: raw.Read, deadline: file.SetReadDeadline},
		out: half{turn: make(chan struct{}, 1), poll: raw.Write, deadline: file.SetWriteDeadline},
	}, nil
}

// control runs f with the descriptor, which stays open meanwhile.
func (s *socket) control(f func(fd int) error) error {
	var err error
	if cerr := s.raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return net.ErrClosed
	}
	return err
}

func (s *socket) set(num int, value []byte) error {
	return s.control(func(fd int) error { return setOption(fd, num, value) })
}

func (s *socket) get(num int, value []byte) (n int, err error) {
	err = s.control(func(fd int) error { n, err = getOption(fd, num, value); return err })
	return n, err
}

// A half is one direction of a socket.
type half struct {
	turn     chan struct{} // holds a token while somebody has the direction
	poll     func(f func(fd uintptr) (done bool)) error
	deadline func(time.Time) error
}

// longPast is a deadline that wakes who waits.
var longPast = time.Unix(1, 0)

// do calls try until it returns something else than EAGAIN, and waits for the
// socket in between. It ends with ctx, whose error it returns, and with the
// socket: net.ErrClosed.
func (h *half) do(ctx context.Context, try func(fd int) error) error {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.turn }()
	var err error
	attempt := func(fd uintptr) bool {
		for {
			if err = try(int(fd)); err != syscall.EINTR {
				return err != syscall.EAGAIN
			}
		}
	}
	// Nearly always there is nothing to wait for.
	if perr := h.poll(func(fd uintptr) bool { attempt(fd); return true }); perr != nil {
		return net.ErrClosed
	}
	if err != syscall.EAGAIN {
		return err
	}
	return h.wait(ctx, attempt, &err)
}

// wait is do when it has to wait.
func (h *half) wait(ctx context.Context, attempt func(fd uintptr) bool, err *error) error {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // runs to its end before wait returns
		h.deadline(longPast)
		close(woken)
	})
	perr := h.poll(attempt)
	if !stop() {
		<-woken
		h.deadline(time.Time{})
	}
	switch {
	case perr == nil:
		return *err
	case errors.Is(perr, os.ErrDeadlineExceeded):
		return ctx.Err()
	}
	return net.ErrClosed
}
