package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"net/netip"
	"strconv"
)

// A socket is a line of the kernel's tables of TCP sockets, /proc/net/tcp and
// /proc/net/tcp6.
type socket struct {
	local, remote netip.AddrPort
	state         byte
	user          uint32
}

// States of a socket (net/tcp_states.h of Linux).
const (
	tcpEstablished = 1
	tcpListen      = 10
)

// unknownUser is what all users are called who are none of this user
// namespace (/proc/sys/kernel/overflowuid): two of them may be two.
const unknownUser = 65534

// sockets reads such a table. Its head, and lines that are not understood, are
// left out.
func sockets(table []byte) iter.Seq[socket] {
	return func(yield func(socket) bool) {
		for line := range bytes.Lines(table) {
			if s, ok := parseSocket(line); ok && !yield(s) {
				return
			}
		}
	}
}

// parseSocket reads a line: number, local and remote address, state, queues,
// timer, retransmissions, user, and more.
func parseSocket(line []byte) (s socket, ok bool) {
	f := bytes.Fields(line)
	if len(f) < 8 {
		return s, false
	}
	var okLocal, okRemote bool
	s.local, okLocal = parseSocketAddr(f[1])
	s.remote, okRemote = parseSocketAddr(f[2])
	state, err1 := strconv.ParseUint(string(f[3]), 16, 8)
	user, err2 := strconv.ParseUint(string(f[7]), 10, 32)
	s.state, s.user = byte(state), uint32(user)
	return s, okLocal && okRemote && err1 == nil && err2 == nil
}

// parseSocketAddr reads an address, 32-bit words of the machine's order in
// hexadecimal, and a port.
func parseSocketAddr(b []byte) (a netip.AddrPort, ok bool) {
	host, port, _ := bytes.Cut(b, []byte(":"))
	n, err := strconv.ParseUint(string(port), 16, 16)
	words := make([]byte, hex.DecodedLen(len(host)))
	if _, herr := hex.Decode(words, host); err != nil || herr != nil || len(words)%4 != 0 {
		return a, false
	}
	for w := words; len(w) > 0; w = w[4:] {
		binary.NativeEndian.PutUint32(w, binary.BigEndian.Uint32(w))
	}
	addr, ok := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

// listener returns whose socket gets a connection to an address of this host.
func listener(all []socket, at netip.AddrPort) (user uint32, ok bool) {
	best := 0
	for _, s := range all {
		if n := closeness(s.local.Addr(), at.Addr()); s.state == tcpListen && s.local.Port() == at.Port() && n > best {
			best, user = n, s.user
		}
	}
	return user, best > 0
}

// closeness orders the addresses that sockets listen at: the kernel takes the
// one that fits most closely. 0: none.
func closeness(bound, at netip.Addr) int {
	switch {
	case bound == at:
		return 3
	case bound.IsUnspecified() && bound.Is4() == at.Is4():
		return 2
	case bound.IsUnspecified() && bound.Is6():
		return 1 // of both families, or the connection is refused
	}
	return 0
}

// client returns whose socket is the other end of a connection to this host.
func client(all []socket, from, to netip.AddrPort) (user uint32, ok bool) {
	for _, s := range all {
		if s.state == tcpEstablished && s.local == from && s.remote == to {
			return s.user, s.user != unknownUser
		}
	}
	return 0, false
}
