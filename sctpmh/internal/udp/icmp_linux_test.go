package udp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// queued is the control message of an error queue, with the complainer's
// address behind it.
func queued(errno unix.Errno, origin, typ, code uint8, info uint32) []byte {
	level, opt, addr := int32(unix.IPPROTO_IP), int32(unix.IP_RECVERR), unix.SizeofSockaddrInet4
	if origin == unix.SO_EE_ORIGIN_ICMP6 {
		level, opt, addr = unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.SizeofSockaddrInet6
	}
	oob, data := appendControl(nil, level, opt, 16+addr)
	binary.NativeEndian.PutUint32(data, uint32(errno))
	data[4], data[5], data[6] = origin, typ, code
	binary.NativeEndian.PutUint32(data[8:], info)
	return oob
}

func TestParseHint(t *testing.T) {
	const local, icmp, icmp6 = unix.SO_EE_ORIGIN_LOCAL, unix.SO_EE_ORIGIN_ICMP, unix.SO_EE_ORIGIN_ICMP6
	for name, c := range map[string]struct {
		oob  []byte
		want Hint
		ok   bool
	}{
		"local MTU":              {queued(unix.EMSGSIZE, local, 0, 0, 1300), Hint{Local: true, MTU: 1300}, true},
		"loopback's MTU":         {queued(unix.EMSGSIZE, local, 0, 0, 65536), Hint{Local: true, MTU: 65535}, true},
		"another local error":    {queued(unix.EHOSTUNREACH, local, 0, 0, 0), Hint{}, false},
		"fragmentation needed":   {queued(unix.EMSGSIZE, icmp, 3, 4, 1400), Hint{MTU: 1400}, true},
		"without an MTU":         {queued(unix.EMSGSIZE, icmp, 3, 4, 0), Hint{}, false},
		"network unreachable":    {queued(unix.ENETUNREACH, icmp, 3, 0, 0), Hint{Unreachable: true}, true},
		"host unreachable":       {queued(unix.EHOSTUNREACH, icmp, 3, 1, 0), Hint{Unreachable: true}, true},
		"protocol unreachable":   {queued(unix.ENOPROTOOPT, icmp, 3, 2, 0), Hint{PortUnreachable: true}, true},
		"port unreachable":       {queued(unix.ECONNREFUSED, icmp, 3, 3, 0), Hint{PortUnreachable: true}, true},
		"filtered":               {queued(unix.EHOSTUNREACH, icmp, 3, 13, 0), Hint{Unreachable: true}, true},
		"time exceeded":          {queued(unix.EHOSTUNREACH, icmp, 11, 0, 0), Hint{}, false},
		"parameter problem":      {queued(unix.EPROTO, icmp, 12, 0, 0), Hint{}, false},
		"packet too big":         {queued(unix.EMSGSIZE, icmp6, 2, 0, 1280), Hint{MTU: 1280}, true},
		"one that fits no int":   {queued(unix.EMSGSIZE, icmp6, 2, 0, 0xffffffff), Hint{MTU: 65535}, true},
		"no route":               {queued(unix.ENETUNREACH, icmp6, 1, 0, 0), Hint{Unreachable: true}, true},
		"address unreachable":    {queued(unix.EHOSTUNREACH, icmp6, 1, 3, 0), Hint{Unreachable: true}, true},
		"port unreachable, IPv6": {queued(unix.ECONNREFUSED, icmp6, 1, 4, 0), Hint{PortUnreachable: true}, true},
		"a time stamp":           {queued(unix.ENOMSG, unix.SO_EE_ORIGIN_TIMESTAMPING, 3, 3, 1), Hint{}, false},
		"behind another message": {append(segmented(nil, 9), queued(unix.EMSGSIZE, icmp, 3, 4, 1400)...), Hint{MTU: 1400}, true},
		"something else":         {segmented(nil, 9), Hint{}, false},
		"nothing":                {nil, Hint{}, false},
	} {
		got, ok := parseHint(c.oob)
		if ok != c.ok || got.Local != c.want.Local || got.MTU != c.want.MTU || got.Unreachable != c.want.Unreachable || got.PortUnreachable != c.want.PortUnreachable {
			t.Errorf("%s: %+v, %v, want %+v", name, got, ok, c.want)
		}
	}
}

// FuzzHint reads control messages of any octets, as arrived and as an error.
func FuzzHint(f *testing.F) {
	whole := queued(unix.EMSGSIZE, unix.SO_EE_ORIGIN_ICMP6, 2, 0, 1280)
	for n := range whole {
		f.Add(whole[:n])
	}
	f.Add(append(segmented(nil, 1200), queued(unix.ECONNREFUSED, unix.SO_EE_ORIGIN_ICMP, 3, 3, 0)...))
	for _, length := range []uint64{0, 1, 15, 16, 17, 1 << 31, 1 << 63, 1<<64 - 1} { // the header's own length lies
		lie := append([]byte(nil), whole...)
		binary.NativeEndian.PutUint64(lie, length)
		f.Add(lie)
	}
	f.Fuzz(func(t *testing.T, oob []byte) {
		h, ok := parseHint(oob)
		kinds := 0
		for _, is := range []bool{h.MTU > 0, h.Unreachable, h.PortUnreachable} {
			if is {
				kinds++
			}
		}
		if h.MTU < 0 || h.MTU > 65535 || ok != (kinds == 1) || kinds > 1 || h.Local && h.MTU == 0 && ok {
			t.Errorf("%+v, %v", h, ok)
		}
		if size, _ := arrived(oob); size < 0 {
			t.Errorf("packets of %d octets", size)
		}
	})
}
