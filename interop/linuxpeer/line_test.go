package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"golang.org/x/sys/unix"
)

// What can be answered without SCTP in the kernel.
func TestLines(t *testing.T) {
	in := strings.Join([]string{
		"", "sums", "mode", "mode loud", "mode echo", "listen port=70000 udp=0 from=10.0.0.1", "dial port=1 to=nowhere from=::1", "frobnicate", "exit", "mode sink",
	}, "\n")
	var out bytes.Buffer
	if err := run(strings.NewReader(in), &out); err != nil {
		t.Error(err)
	}
	want := `@ ready
@ error sums there was no association yet
@ error mode "" is neither echo nor sink
@ error mode "loud" is neither echo nor sink
@ ok mode
@ error listen port=70000 is not a number of 16 bits
@ error dial to: ParseAddr("nowhere"): unable to parse IP
@ error frobnicate there was no association yet
`
	if out.String() != want {
		t.Errorf("it says\n%s\nwant\n%s", &out, want)
	}
}

func TestLoad(t *testing.T) {
	l, err := parse("send stream=3 streams=2 ppid=4294967295 unordered=1 size=9 count=2 seed=5").load()
	if want := (load{stream: 3, streams: 2, ppid: 1<<32 - 1, unordered: true, size: 9, count: 2, seed: 5}); l != want || err != nil {
		t.Errorf("%+v, %v, want %+v", l, err, want)
	}
	for _, bad := range []string{"send", "send size=0", "send size=9999999", "send size=1 stream=65536", "send size=1 count=-1"} {
		if l, err := parse(bad).load(); err == nil {
			t.Errorf("%q is %+v, want an error", bad, l)
		}
	}
}

// A label gets into ancillary data as the kernel reads it, and out of what the
// kernel writes: the offsets are those of linux/sctp.h.
func TestLabels(t *testing.T) {
	l := label{stream: 0x0102, ppid: 0x03040506, unordered: true}
	oob := l.ancillary([]byte("leftover"))
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(all) != 1 || all[0].Header.Level != sctp.SOL_SCTP || all[0].Header.Type != sctp.SCTP_CMSG_SNDINFO {
		t.Fatalf("%+v, %v", all, err)
	}
	if got, want := fmt.Sprintf("% x", all[0].Data), "02 01 01 00 03 04 05 06 00 00 00 00 00 00 00 00"; got != want {
		t.Errorf("struct sctp_sndinfo is %s, want %s", got, want)
	}

	in := make([]byte, unix.CmsgSpace(rcvInfoSize))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&in[0]))
	h.Level, h.Type = sctp.SOL_SCTP, sctp.SCTP_CMSG_RCVINFO
	h.SetLen(unix.CmsgLen(rcvInfoSize))
	copy(in[unix.CmsgLen(0):], "\x02\x01\xff\xff\x01\x00\x00\x00\x03\x04\x05\x06")
	if got := readLabel(in); got != l {
		t.Errorf("read %+v, want %+v", got, l)
	}
	if got := readLabel(in[:20]); got != (label{}) {
		t.Errorf("of too little %+v was read", got)
	}
}

func TestPathChange(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
		a := netip.MustParseAddr(addr)
		at := storage(netip.AddrPortFrom(a, 5000))
		b := append(make([]byte, 8), at[:]...)
		for event, want := range []string{"active", "inactive", "", "", "", "active", "pf"} {
			got, state, ok := pathChange(binary.NativeEndian.AppendUint32(b, uint32(event)))
			if got != a || state != want || ok != (want != "") {
				t.Errorf("event %d of %v: %v, %q, %v, want %q", event, a, got, state, ok, want)
			}
		}
		if _, _, ok := pathChange(b); ok {
			t.Error("a change without an event is one")
		}
	}
}
