package kernel

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"testing"
)

// words appends 16-bit and 32-bit numbers in native order.
func words(list ...any) (b []byte) {
	for _, w := range list {
		switch w := w.(type) {
		case uint16:
			b = binary.NativeEndian.AppendUint16(b, w)
		case uint32:
			b = binary.NativeEndian.AppendUint32(b, w)
		case []byte:
			b = append(b, w...)
		}
	}
	return b
}

// header is that of a notification.
func header(typ, flags uint16) []byte { return words(typ, flags, uint32(0)) }

func TestNotifications(t *testing.T) {
	there := toStorage(netip.MustParseAddr("2001:db8::7"), 5000)
	abort := []byte{6, 0, 0, 12, 0, 12, 0, 8, 'w', 'h', 'y', '!'}
	for _, c := range []struct {
		name string
		b    []byte
		want Event
	}{
		{"the association stands", words(header(snAssocChange, 0), uint16(0), uint16(0), uint16(16), uint16(8), uint32(3)),
			Event{Kind: commUp, abort: []byte{}}},
		{"it was aborted", words(header(snAssocChange, 0), uint16(1), []byte{0, 12}, uint16(0), uint16(0), uint32(3), abort),
			Event{Kind: commLost, code: 12, abort: abort}},
		{"the peer began anew", words(header(snAssocChange, 0), uint16(2), uint16(0), uint16(16), uint16(8), uint32(3)),
			Event{Kind: Restarted, abort: []byte{}}},
		{"a path was left", words(header(snPeerAddrChange, 0), there[:], uint32(6), uint32(0), uint32(3)),
			Event{Kind: PathChanged, Addr: netip.MustParseAddr("2001:db8::7"), Change: PathPotentiallyFailed}},
		{"a message was not sent", words(header(snSendFailed, 1), uint32(9), uint16(5), uint16(0), []byte{0, 0, 0, 42}, uint32(0), uint32(0), uint32(3), []byte("data")),
			Event{Kind: SendFailed, Stream: 5, PPID: 42, Sent: true}},
		{"the peer reported an error", words(header(snRemoteError, 0), []byte{0, 9}, uint16(0), uint32(3)),
			Event{Kind: PeerError, Cause: 9}},
		{"the peer shuts down", words(header(snShutdown, 0), uint32(3)), Event{Kind: PeerShutdown}},
		{"an indication", words(header(snAdaptation, 0), uint32(0x01020304), uint32(3)), Event{Kind: Adapted, adaptation: 0x01020304}},
		{"a part is lost", words(header(snPartial, 0), uint32(0), uint32(3), uint32(0), uint32(0)), Event{Kind: PartialLost}},
	} {
		if got, ok := parseNotification(c.b); !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, ok, c.want)
		}
	}
	for _, b := range [][]byte{nil, header(snAssocChange, 0), header(0x8009, 0), words(header(snAssocChange, 0), uint16(77), uint16(0), uint32(0), uint32(0))} {
		if e, ok := parseNotification(b); ok {
			t.Errorf("%x is taken for %+v", b, e)
		}
	}
}

func TestAbortReasons(t *testing.T) {
	for _, c := range []struct {
		b      string
		code   uint16
		reason string
	}{
		{"", 0, ""},
		{"\x06\x00\x00\x04", 0, ""},
		{"\x06\x00\x00\x0b\x00\x0c\x00\x07why", 12, "why"},
		{"\x00\x0c\x00\x07why\x00", 12, "why"},
		{"\x00\x0d\x00\x06no", 13, "no"},
		{"\x00\x01\x00\x08\x00\x00\x00\x00", 1, ""},
		{"\x00\x0c\x00\xffwhy", 12, ""},
		{"\x00\x0c\x00\x03", 12, ""},
	} {
		if code, reason := parseAbort([]byte(c.b)); code != c.code || reason != c.reason {
			t.Errorf("%x: %d %q, want %d %q", c.b, code, reason, c.code, c.reason)
		}
	}
}

// FuzzNotification: what the kernel hands on is partly what the peer said.
func FuzzNotification(f *testing.F) {
	f.Add(words(header(snAssocChange, 0), uint16(1), []byte{0, 12}, uint16(0), uint16(0), uint32(3), []byte{6, 0, 0, 8, 0, 12, 0, 8}))
	there := toStorage(netip.MustParseAddr("192.0.2.7"), 5000)
	f.Add(words(header(snPeerAddrChange, 0), there[:], uint32(5), uint32(0), uint32(3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parseNotification(b); ok {
			parseAbort(e.abort)
		}
		if addrs, _ := parseAddrs(b); len(addrs) > maxAddrs {
			t.Error(len(addrs), "addresses")
		}
	})
}
