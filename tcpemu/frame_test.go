package tcpemu

import (
	"encoding/hex"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// examples has one of each message, and its octets as they must stay.
var examples = []struct {
	frame frame
	hex   string
}{
	{frame{typ: typeHello, version: 1, nonce: 0x0102030405060708, flags: helloDialled, streams: 16384, credit: 262144, name: "a.example", seen: netip.MustParseAddrPort("192.0.2.1:9899")},
		"01 010001 01 020008 0102030405060708 0f0001 01 040002 4000 050008 0000000000040000 030009 612e6578616d706c65 060006 c0000201 26ab"},
	{frame{typ: typePing, opaque: 7}, "03 0e0008 0000000000000007"},
	{frame{typ: typePong, opaque: 7}, "04 0e0008 0000000000000007"},
	{frame{typ: typeGoAway, code: CodeAway}, "05 0b0001 42"},
	{frame{typ: typeOpen, epoch: 5, target: Target{Port: 80}, credit: 1}, "10 070004 00000005 090002 0050 050008 0000000000000001"},
	{frame{typ: typeOpen, epoch: 5, target: Target{Name: "b.example", Port: 443}, credit: 1, hops: 2, via: []uint64{3}},
		"10 070004 00000005 09000c 01bb 02 622e6578616d706c65 050008 0000000000000001 080001 02 0a0008 0000000000000003"},
	{frame{typ: typeOpen, epoch: 5, target: Target{Addr: netip.MustParseAddr("2001:db8::1"), Port: 443}, credit: 1},
		"10 070004 00000005 090013 01bb 01 20010db8000000000000000000000001 050008 0000000000000001"},
	{frame{typ: typeOpenOK, epoch: 5, credit: 2, seen: netip.MustParseAddrPort("[2001:db8::1]:80")},
		"11 070004 00000005 050008 0000000000000002 060012 20010db8000000000000000000000001 0050"},
	{frame{typ: typeOpenFail, epoch: 5, code: CodeDenied, text: "no"}, "12 070004 00000005 0b0001 20 0c0002 6e6f"},
	{frame{typ: typeFin, offset: 10}, "13 0d0008 000000000000000a"},
	{frame{typ: typeReset, epoch: 5, code: CodeRefused}, "14 070004 00000005 0b0001 60"},
	{frame{typ: typeCredit, epoch: 5, offset: 11}, "15 070004 00000005 0d0008 000000000000000b"},
	{frame{typ: typeCredit, epoch: 5, offset: 11, returns: 2}, "15 070004 00000005 0d0008 000000000000000b 110004 00000002"},
	{frame{typ: typeReturn, offset: 11}, "17 0d0008 000000000000000b"},
	{frame{typ: typeUrg, offset: 11, octet: 0xf2}, "16 0d0008 000000000000000b 100001 f2"},
}

func TestFramesOnTheWire(t *testing.T) {
	for _, e := range examples {
		want, err := hex.DecodeString(strings.ReplaceAll(e.hex, " ", ""))
		must(t, err)
		if got := e.frame.append(nil); string(got) != string(want) {
			t.Errorf("%+v\n got %x\nwant %x", e.frame, got, want)
		}
		f, known, err := parseFrame(want)
		if !known || err != nil || !reflect.DeepEqual(f, e.frame) {
			t.Errorf("%x\n got %+v, %v\nwant %+v", want, f, err, e.frame)
		}
		for n := range want {
			if _, _, err := parseFrame(want[:n]); err == nil && n < len(want)-optionalTail(e.frame) {
				t.Errorf("%x cut to %d octets is accepted", want, n)
			}
		}
	}
}

// optionalTail is how many octets of a message its optional TLVs take.
func optionalTail(f frame) int {
	n := 0
	for _, t := range layout[f.typ].optional {
		n += len(f.appendTLV(nil, t))
	}
	return n + 1
}

func TestUnknownIsSkippedOrRefused(t *testing.T) {
	fin := (&frame{typ: typeFin, offset: 1}).append(nil)
	if _, _, err := parseFrame(append(fin, 200, 0, 1, 9)); err != nil {
		t.Errorf("unknown TLV: %v", err)
	}
	if _, known, err := parseFrame([]byte{200, 1, 2, 3}); known || err != nil {
		t.Errorf("unknown type from 128 on: %v", err)
	}
	for _, b := range [][]byte{nil, {0}, {99}, append(fin, fin[1:]...), {19, 13, 0, 7, 0, 0, 0, 0, 0, 0, 0}} {
		if _, _, err := parseFrame(b); err == nil {
			t.Errorf("%x is accepted", b)
		}
	}
}

func FuzzFrame(f *testing.F) {
	for _, e := range examples {
		f.Add(e.frame.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, known, err := parseFrame(b)
		if err != nil || !known {
			return
		}
		again, _, err := parseFrame(p.append(nil))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("%x: %+v then %+v, %v", b, p, again, err)
		}
	})
}
