package testnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Numbers of the kernel's generic netlink family "mptcp_pm".
const (
	mptcpAddAddr   = 1
	mptcpSetLimits = 5

	mptcpAttrAddr     = 1
	mptcpAttrAccept   = 2
	mptcpAttrSubflows = 3

	mptcpAddrFamily = 1
	mptcpAddr4      = 3
	mptcpAddr6      = 4
	mptcpAddrFlags  = 6

	mptcpSignal = 1
)

// HasMPTCP reports whether the kernel has MultiPath TCP switched on.
func HasMPTCP() bool {
	b, err := os.ReadFile("/proc/sys/net/mptcp/enabled")
	return err == nil && len(b) > 0 && b[0] == '1'
}

// UseMPTCP lets MultiPath TCP of the host make subflows to the addresses that
// peers announce, and announces some of its own to those who connect.
func (h *Host) UseMPTCP(announce ...netip.Addr) error {
	return h.Do(func() error {
		f, err := netlink.GenlFamilyGet("mptcp_pm")
		if err != nil {
			return fmt.Errorf("%s: MPTCP: %w", h.Name, err)
		}
		limits := nl.NewRtAttr(mptcpAttrSubflows, nl.Uint32Attr(8))
		accept := nl.NewRtAttr(mptcpAttrAccept, nl.Uint32Attr(8))
		if err := mptcp(f, mptcpSetLimits, accept, limits); err != nil {
			return fmt.Errorf("%s: MPTCP limits: %w", h.Name, err)
		}
		for _, a := range announce {
			if err := mptcp(f, mptcpAddAddr, mptcpAddr(a)); err != nil {
				return fmt.Errorf("%s: MPTCP address %v: %w", h.Name, a, err)
			}
		}
		return nil
	})
}

func mptcpAddr(a netip.Addr) *nl.RtAttr {
	family, attr := uint16(unix.AF_INET), mptcpAddr4
	if a.Is6() {
		family, attr = unix.AF_INET6, mptcpAddr6
	}
	addr := nl.NewRtAttr(mptcpAttrAddr|unix.NLA_F_NESTED, nil)
	addr.AddRtAttr(mptcpAddrFamily, binary.NativeEndian.AppendUint16(nil, family))
	addr.AddRtAttr(attr, a.AsSlice())
	addr.AddRtAttr(mptcpAddrFlags, nl.Uint32Attr(mptcpSignal))
	return addr
}

func mptcp(f *netlink.GenlFamily, command uint8, attrs ...*nl.RtAttr) error {
	req := nl.NewNetlinkRequest(int(f.ID), unix.NLM_F_ACK)
	req.AddData(&nl.Genlmsg{Command: command, Version: uint8(f.Version)})
	for _, a := range attrs {
		req.AddData(a)
	}
	_, err := req.Execute(unix.NETLINK_GENERIC, 0)
	return err
}
