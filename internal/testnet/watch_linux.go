package testnet

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Watch has see called with each IP packet that the provider passes on to a
// host, until stop is called or the network closed; no call comes after that.
// Packets that a Cut swallows are not seen; a burst that the kernel passes in
// one piece is seen as one. see must not keep the packet.
func (p *ISP) Watch(h *Host, see func(packet []byte)) (stop func(), err error) {
	l, err := p.linkTo(h)
	if err != nil {
		return nil, err
	}
	var f *os.File
	err = p.host.Do(func() error {
		fd, err := packetSocket(unix.SOCK_DGRAM, l.far)
		if err == nil {
			f = os.NewFile(uintptr(fd), "watch")
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: watch %s: %w", p.host.Name, h.Name, err)
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	n := p.host.net
	n.wg.Go(func() { // ends when f is closed
		defer close(done)
		watch(f, see)
	})
	n.wg.Go(func() { // ends with stop or the network
		select {
		case <-stopped:
		case <-n.closed:
		}
		f.Close()
	})
	return func() { close(stopped); <-done }, nil
}

// watch calls see with what leaves over a packet socket's device until the
// socket is closed.
func watch(f *os.File, see func([]byte)) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 1<<16)
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := conn.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return rerr != unix.EAGAIN
		})
		if err != nil {
			return // closed
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if rerr != nil || !ok || ll.Pkttype != unix.PACKET_OUTGOING {
			continue
		}
		if p := networkOrder(ll.Protocol); p == unix.ETH_P_IP || p == unix.ETH_P_IPV6 {
			see(buf[:n])
		}
	}
}
