package udp

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An errorWatch waits until a socket has an error to tell. It is an epoll
// instance of its own that looks for nothing else, itself watched by the
// runtime's: that one would wake with every packet, and only one reader at a
// time can wait there, which is Receive.
type errorWatch struct {
	file *os.File
	raw  syscall.RawConn // file's
}

func watchErrors(fd int) (*errorWatch, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// EPOLLERR is always looked for. Only the edge: an error that is left over
	// while the queue is empty must not wake us again and again.
	err = errors.Join(
		unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLET}),
		unix.SetNonblock(epfd, true), // so that the runtime watches it
	)
	if err != nil {
		unix.Close(epfd)
		return nil, err
	}
	w := &errorWatch{file: os.NewFile(uintptr(epfd), "error queue")}
	w.raw, err = w.file.SyscallConn()
	if err == nil {
		err = w.file.SetReadDeadline(time.Time{}) // fails when it is not watched
	}
	if err != nil {
		w.file.Close()
		return nil, err
	}
	return w, nil
}

// wait waits for an error to tell. Its own error is net.ErrClosed.
func (w *errorWatch) wait() error {
	var event [1]unix.EpollEvent
	err := w.raw.Read(func(fd uintptr) bool {
		n, _ := unix.EpollWait(int(fd), event[:], 0) // it cannot fail: fd is what it should be, and nothing is waited for
		return n > 0
	})
	if err != nil {
		return net.ErrClosed
	}
	return nil
}

// pause waits for a time. Its error is net.ErrClosed.
func (w *errorWatch) pause(d time.Duration) error {
	if w.file.SetReadDeadline(time.Now().Add(d)) != nil {
		return net.ErrClosed
	}
	if err := w.raw.Read(func(uintptr) bool { return false }); !errors.Is(err, os.ErrDeadlineExceeded) {
		return net.ErrClosed
	}
	if w.file.SetReadDeadline(time.Time{}) != nil {
		return net.ErrClosed
	}
	return nil
}

// close ends wait and pause.
func (w *errorWatch) close() { w.file.Close() }
