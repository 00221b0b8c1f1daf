//go:build !linux

package udp

import (
	"errors"
	"net/netip"
	"syscall"
)

// ECN says that sockets see Congestion Experienced. Where they do not, nobody
// may send ECN-capable packets to us.
const ECN = false

func (s *Socket) setup(int, netip.AddrPort, bool) error { return nil }
func segmented(oob []byte, _ int) []byte                { return oob }
func marked(oob []byte, _ netip.Addr, _ Marks) []byte   { return oob }
func arrived([]byte) (size int, tos byte)               { return 0, 0 }
func offloadRefused(error) bool                         { return false }
func mayBePending(error) bool                           { return false }
func (s *Socket) writeFragment(data, _ []byte, dst netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(data, dst) // these systems never set DF
	return err
}

// Hints returns at once: this system gives none.
func (s *Socket) Hints(func(Hint)) error { return errors.ErrUnsupported }

type errorWatch struct{}

func watchErrors(int) (*errorWatch, error) { return nil, nil }
func (w *errorWatch) close()               {}

// LinkGone reports whether a send failed because its uplink has no way out.
func LinkGone(err error) bool {
	return errors.Is(err, syscall.ENETDOWN) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
}

// Bind does nothing: only Linux binds sockets to devices.
func (s *Socket) Bind() (notice string) { return "" }
