package addrwatch

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Notifications say only that something has changed; then everything is read
// again. So it does not matter that the kernel drops some when they come too
// fast, nor that it tells of no IPv4 route that goes with its link.
var groups = []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}

const retryAfter = time.Second // a failed read; a notification comes first, mostly

// A watcher has two goroutines, both started by start and ended by stop:
// listen waits for notifications, run reads and reports.
type watcher struct {
	notices *socket
	queries *socket
	changed chan struct{} // holds one: what comes during a read is one more read
	done    chan struct{} // closed by stop
	wg      sync.WaitGroup
}

// observe hands snapshots to take: one at once, one after each change, and one
// when the time has passed that take returns, unless that is 0.
func observe(take func(snapshot) time.Duration) (poke, stop func(), err error) {
	w, err := open()
	if err != nil {
		return nil, nil, fmt.Errorf("open netlink: %w; let this process use AF_NETLINK sockets and open more files", err)
	}
	first, err := read(w.queries)
	if err != nil {
		w.close()
		return nil, nil, fmt.Errorf("read links, addresses and routes: %w; try again, or do without and fail over by timeout", err)
	}
	w.start(first, take)
	return w.poke, sync.OnceFunc(w.stop), nil
}

// open subscribes, so that no change after it is missed. Notifications have a
// socket of their own: a flood of them takes no room from answers.
func open() (*watcher, error) {
	notices, err := openSocket(groups...)
	if err != nil {
		return nil, err
	}
	queries, err := openSocket()
	if err != nil {
		notices.Close()
		return nil, err
	}
	return &watcher{notices: notices, queries: queries, changed: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

func (w *watcher) start(first snapshot, take func(snapshot) time.Duration) {
	w.wg.Go(w.listen)
	w.wg.Go(func() { w.run(first, take) })
}

func (w *watcher) stop() {
	close(w.done)
	w.close()
	w.wg.Wait()
}

// close ends the reads that wait.
func (w *watcher) close() {
	w.notices.Close()
	w.queries.Close()
}

// listen notes that something has changed, until stop closes the socket.
func (w *watcher) listen() {
	b := make([]byte, 1) // the rest of a notification is dropped
	for {
		// Another error says that notifications were lost (ENOBUFS); there was
		// one at any rate, and the socket goes on.
		if _, err := w.notices.Read(b); errors.Is(err, os.ErrClosed) {
			return
		}
		w.poke()
	}
}

// poke has the system read again.
func (w *watcher) poke() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// run takes snapshots until stop closes done.
func (w *watcher) run(first snapshot, take func(snapshot) time.Duration) {
	for s, err := first, error(nil); ; s, err = read(w.queries) {
		wait := retryAfter
		if err == nil {
			wait = take(s)
		}
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-w.done:
			return
		case <-w.changed:
		case <-again:
		}
	}
}
