package addrwatch

import "fmt"

func uplinks() ([]Uplink, error) {
	q, err := openSocket()
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w; let this process use AF_NETLINK sockets and open more files", err)
	}
	defer q.Close()
	s, err := read(q)
	if err != nil {
		return nil, fmt.Errorf("read links, addresses and routes: %w", err)
	}
	return s.uplinks(), nil
}
