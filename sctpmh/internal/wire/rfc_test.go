package wire

import (
	"bytes"
	"testing"
)

// Chunks and parameters fill a multiple of four octets with no more zeros than
// that takes, and their length counts none of them (RFC 9260 sections 3.2,
// 3.2.1 and 3.3.1).
//
//rfc:9260 3.2-1 3.2-2 3.2-3 3.2.1-1 3.2.1-2 3.3.1-8 3.3.1-9 3.3.1-10
func TestPaddingIsShortAndZero(t *testing.T) {
	for n := range 9 {
		value := bytes.Repeat([]byte{0xFF}, n)
		for name, b := range map[string][]byte{
			"chunk":     AppendChunk(nil, TypeCookieEcho, 0, value),
			"parameter": AppendParam(nil, ParamStateCookie, value),
			"cause":     AppendCause(nil, CauseUserAbort, value),
			"DATA":      AppendData(nil, &Data{Payload: value}),
		} {
			length := int(b[2])<<8 | int(b[3])
			header := map[string]int{"DATA": 16}[name]
			if header == 0 {
				header = 4
			}
			if pad := len(b) - length; length != header+n || len(b)%4 != 0 || pad > 3 || !isZero(b[length:]) {
				t.Errorf("%s of %d octets: length %d, then %x", name, n, length, b[length:])
			}
		}
	}
}

// What stands in padding means nothing (RFC 9260 sections 3.2 and 3.2.1).
//
//rfc:9260 3.2-4 3.2.1-3
func TestPaddingIsIgnored(t *testing.T) {
	for n := 1; n < 4; n++ {
		value, pad := bytes.Repeat([]byte{7}, n), bytes.Repeat([]byte{0xFF}, 4-n)
		dirty := func(b []byte) []byte { return append(b[:len(b)-len(pad)], pad...) }
		b := AppendChunk(dirty(AppendData(nil, &Data{TSN: 9, Payload: value})), TypeCookieAck, 0, nil)
		c, rest, ok := NextChunk(b)
		if d, isData := ParseData(c); !ok || !isData || d.TSN != 9 || !bytes.Equal(d.Payload, value) {
			t.Errorf("%x: %+v", b, d)
		}
		if c, rest, ok = NextChunk(rest); !ok || c.Type != TypeCookieAck || len(rest) != 0 {
			t.Errorf("%x: then %+v", b, c)
		}
		b = AppendParam(dirty(AppendParam(nil, ParamStateCookie, value)), ParamECN, nil)
		p, rest, ok := NextParam(b)
		if !ok || p.Type != ParamStateCookie || !bytes.Equal(p.Value, value) {
			t.Errorf("%x: %+v", b, p)
		}
		if p, rest, ok = NextParam(rest); !ok || p.Type != ParamECN || len(rest) != 0 {
			t.Errorf("%x: then %+v", b, p)
		}
	}
}
