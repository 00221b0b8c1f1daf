package kernel

import (
	"bytes"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// Sizes and offsets are those of linux/sctp.h on 64-bit machines: the figures
// are what sizeof and offsetof say in C.
func TestStructsAreTheKernels(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Logf("kernel SCTP is not used on %s", runtime.GOARCH)
		return
	}
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"sctp_rtoinfo", unsafe.Sizeof(rtoInfo{}), 16},
		{"srto_initial", unsafe.Offsetof(rtoInfo{}.initial), 4},
		{"srto_max", unsafe.Offsetof(rtoInfo{}.max), 8},
		{"srto_min", unsafe.Offsetof(rtoInfo{}.min), 12},
		{"sctp_assocparams", unsafe.Sizeof(assocParams{}), 20},
		{"sasoc_asocmaxrxt", unsafe.Offsetof(assocParams{}.maxRetrans), 4},
		{"sctp_initmsg", unsafe.Sizeof(initMsg{}), 8},
		{"sinit_max_attempts", unsafe.Offsetof(initMsg{}.attempts), 4},
		{"sinit_max_init_timeo", unsafe.Offsetof(initMsg{}.timeoutMax), 6},
		{"sctp_assoc_value", unsafe.Sizeof(assocValue{}), 8},
		{"sctp_sack_info", unsafe.Sizeof(sackInfo{}), 12},
		{"sack_freq", unsafe.Offsetof(sackInfo{}.freq), 8},
		{"sctp_prim", unsafe.Sizeof(primary{}), 132},
		{"ssp_addr", unsafe.Offsetof(primary{}.addr), 4},
		{"sctp_paddrparams", unsafe.Sizeof(peerAddrParams{}), 156},
		{"spp_address", unsafe.Offsetof(peerAddrParams{}.addr), 4},
		{"spp_hbinterval", unsafe.Offsetof(peerAddrParams{}.heartbeat), 132},
		{"spp_pathmaxrxt", unsafe.Offsetof(peerAddrParams{}.maxRetrans), 136},
		{"spp_flags", unsafe.Offsetof(peerAddrParams{}.flags), 146},
		{"sctp_paddrthlds", unsafe.Sizeof(thresholds{}), 144},
		{"spt_address", unsafe.Offsetof(thresholds{}.addr), 8},
		{"spt_pathmaxrxt", unsafe.Offsetof(thresholds{}.maxRetrans), 136},
		{"spt_pathpfthld", unsafe.Offsetof(thresholds{}.pf), 138},
		{"sctp_udpencaps", unsafe.Sizeof(encapPort{}), 144},
		{"sue_address", unsafe.Offsetof(encapPort{}.addr), 8},
		{"sue_port", unsafe.Offsetof(encapPort{}.port), 136},
		{"sctp_paddrinfo", unsafe.Sizeof(peerAddrInfo{}), 152},
		{"spinfo_address", unsafe.Offsetof(peerAddrInfo{}.addr), 4},
		{"spinfo_state", unsafe.Offsetof(peerAddrInfo{}.state), 132},
		{"spinfo_cwnd", unsafe.Offsetof(peerAddrInfo{}.cwnd), 136},
		{"spinfo_srtt", unsafe.Offsetof(peerAddrInfo{}.srtt), 140},
		{"spinfo_rto", unsafe.Offsetof(peerAddrInfo{}.rto), 144},
		{"spinfo_mtu", unsafe.Offsetof(peerAddrInfo{}.mtu), 148},
		{"sctp_status", unsafe.Sizeof(status{}), 176},
		{"sstat_instrms", unsafe.Offsetof(status{}.inStreams), 16},
		{"sstat_outstrms", unsafe.Offsetof(status{}.outStreams), 18},
		{"sstat_fragmentation_point", unsafe.Offsetof(status{}.payload), 20},
		{"sctp_assoc_stats", unsafe.Sizeof(assocStats{}), 256},
		{"sas_maxrto", unsafe.Offsetof(assocStats{}.rtoMax), 136},
		{"sas_opackets", unsafe.Offsetof(assocStats{}.outPackets), 160},
		{"sas_ipackets", unsafe.Offsetof(assocStats{}.inPackets), 168},
		{"sas_rtxchunks", unsafe.Offsetof(assocStats{}.retransmits), 176},
		{"sas_idupchunks", unsafe.Offsetof(assocStats{}.duplicates), 192},
		{"sas_iodchunks", unsafe.Offsetof(assocStats{}.inOrdered), 232},
		{"sctp_event", unsafe.Sizeof(event{}), 8},
		{"se_type", unsafe.Offsetof(event{}.typ), 4},
		{"se_on", unsafe.Offsetof(event{}.on), 6},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, the header has %d", c.name, c.got, c.want)
		}
	}
}

// Every option has the size that the kernel insists on.
func TestOptionsHaveTheirSizes(t *testing.T) {
	cfg := (&Config{Adaptation: 7}).withDefaults()
	sizes := map[int]int{
		optInitMsg: 8, optRTOInfo: 16, optAssocInfo: 20, optDelayedSACK: 12, optPeerAddrParams: 156, optThresholds: 144,
		optExposePF: 8, optNoDelay: 4, optRecvRcvInfo: 4, optInterleave: 4, optMappedV4: 4, optEvent: 8,
		optAdaptation: 4, optRemoteEncapPort: 144,
	}
	seen := map[int]bool{}
	for _, o := range cfg.options(9899) {
		seen[o.num] = true
		if len(o.value) != sizes[o.num] {
			t.Errorf("%s: %d octets, want %d", o.name, len(o.value), sizes[o.num])
		}
	}
	if len(seen) != len(sizes) {
		t.Errorf("options %v are set, want %v", seen, sizes)
	}
}

// Numbers that are not aligned, and ports in network order.
func TestOptionOctets(t *testing.T) {
	p := octets(&peerAddrParams{heartbeat: 0x01010101, maxRetrans: 0x0202, flags: pack32(0x04040404)})
	want := append(bytes.Repeat([]byte{0}, 132), 1, 1, 1, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 0, 0)
	if !bytes.Equal(p, want) {
		t.Errorf("sctp_paddrparams: %x, want %x", p, want)
	}
	if o := octets(newEncapPort(netip.Addr{}, 0, 9899)); o[136] != 0x26 || o[137] != 0xab {
		t.Errorf("port 9899 is %x, want 26ab", o[136:138])
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		0: 0, -time.Second: 0, time.Nanosecond: 1, time.Millisecond: 1, 1500 * time.Microsecond: 2, 1<<63 - 1: 1<<31 - 1,
	} {
		if got := milliseconds(d); got != want {
			t.Errorf("milliseconds(%d) = %d, want %d", d, got, want)
		}
	}
}

func TestSockaddrs(t *testing.T) {
	list := []netip.Addr{
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:198.51.100.1"),
	}
	b := appendSockaddrs(nil, list, 0x1388)
	if len(b) != sizeofInet+sizeofInet6+sizeofInet {
		t.Fatalf("%d octets: %x", len(b), b)
	}
	if !bytes.Equal(b[2:8], []byte{0x13, 0x88, 192, 0, 2, 1}) {
		t.Errorf("port and address: %x", b[2:8])
	}
	counted := append([]byte{0, 0, 0, 0}, octets(new(uint32))...)
	*(*uint32)(unsafe.Pointer(&counted[4])) = uint32(len(list))
	got, port := parseAddrs(append(counted, b...))
	if port != 5000 || len(got) != 3 || got[0] != list[0] || got[1] != list[1] || got[2] != list[2].Unmap() {
		t.Errorf("%v port %d come back", got, port)
	}
	if got, _ := parseAddrs(append(counted, b[:len(b)-1]...)); len(got) != 2 {
		t.Errorf("a list that is cut short has %v", got)
	}
	if s := toStorage(netip.Addr{}, 5000); s != (storage{}) {
		t.Errorf("no address is %x", s)
	}
}

// A peer that lists many addresses does not make us look at all of them.
func TestAddressesAreBounded(t *testing.T) {
	b := append([]byte{0, 0, 0, 0}, octets(new(uint32))...)
	*(*uint32)(unsafe.Pointer(&b[4])) = 1 << 31
	for range maxAddrs + 1 {
		b = appendSockaddrs(b, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, 5000)
	}
	if got, _ := parseAddrs(b); len(got) != maxAddrs {
		t.Errorf("%d addresses, want %d", len(got), maxAddrs)
	}
}

func TestAvailableSaysWhatToDo(t *testing.T) {
	err := Available(0)
	if err == nil {
		t.Log("this kernel has SCTP")
		return
	}
	if !strings.Contains(err.Error(), "udp backend") {
		t.Errorf("%v does not say what to do", err)
	}
	if _, err := Listen([]netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil); err == nil {
		t.Error("listens without SCTP")
	}
	if _, err := Dial(t.Context(), nil, []netip.Addr{netip.MustParseAddr("127.0.0.1")}, 0, nil); err == nil {
		t.Error("dials without SCTP")
	}
}
