package addrwatch

import (
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Notifications say only that something has changed; then everything is read
// again. So it does not matter that the kernel drops some when they come too
// fast, nor that it tells of no IPv4 route that goes with its link.
//
// netlink.AddrSubscribe and its like are not used: they end at the first
// dropped notification, and a new subscription of another goroutine's may land
// in another network namespace. One socket stays where it was opened.
var groups = []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE}

const (
	retryAfter    = time.Second     // a failed read; a notification comes first, mostly
	answerTimeout = 5 * time.Second // the kernel answers within milliseconds, or its answer was dropped
)

// A watcher has two goroutines, both started by start and ended by stop:
// listen waits for notifications, run reads and reports.
type watcher struct {
	notices *nl.NetlinkSocket
	queries *netlink.Handle
	changed chan struct{} // holds one: what comes during a read is one more read
	done    chan struct{} // closed by stop
	wg      sync.WaitGroup
}

func watch(t *tracker, report func(Event)) (stop func(), err error) {
	w, err := open()
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w; let this process use AF_NETLINK sockets and open more files", err)
	}
	first, err := read(w.queries)
	if err != nil {
		w.close()
		return nil, fmt.Errorf("read links, addresses and routes: %w; try again, or do without and fail over by timeout", err)
	}
	w.start(t, first, report)
	return sync.OnceFunc(w.stop), nil
}

// open subscribes, so that no change after it is missed.
func open() (*watcher, error) {
	queries, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := queries.SetSocketTimeout(answerTimeout); err != nil {
		queries.Close()
		return nil, err
	}
	notices, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		queries.Close()
		return nil, err
	}
	return &watcher{notices: notices, queries: queries, changed: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

func (w *watcher) start(t *tracker, first snapshot, report func(Event)) {
	w.wg.Go(w.listen)
	w.wg.Go(func() { w.run(t, first, report) })
}

func (w *watcher) stop() {
	close(w.done)
	w.notices.Close() // ends the Receive that waits
	w.wg.Wait()
	w.queries.Close()
}

// close is stop for a watcher that was not started.
func (w *watcher) close() {
	w.notices.Close()
	w.queries.Close()
}

// listen notes that something has changed, until stop closes the socket.
func (w *watcher) listen() {
	for {
		// An error says that notifications were lost (ENOBUFS) or are not
		// understood; there was one at any rate, and the socket goes on.
		_, _, _ = w.notices.Receive()
		select {
		case <-w.done:
			return
		default:
		}
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// run reports what differs between snapshots until stop closes done.
func (w *watcher) run(t *tracker, first snapshot, report func(Event)) {
	for s, err := first, error(nil); ; s, err = read(w.queries) {
		var retry <-chan time.Time
		if err != nil {
			retry = time.After(retryAfter)
		} else {
			for _, e := range t.next(s) {
				report(e)
			}
		}
		select {
		case <-w.done:
			return
		case <-w.changed:
		case <-retry:
		}
	}
}
