package wire

import (
	"testing"
	"time"
)

// Each typed cause and parameter reads back what was written, and nothing of
// another type or length.
func TestTypedCauses(t *testing.T) {
	b := AppendInvalidStream(nil, 7)
	b = AppendMissingParams(b, ParamStateCookie, ParamIPv4)
	b = AppendStaleCookie(b, 1500*time.Microsecond)
	b = AppendNoUserData(b, 99)
	var causes []Cause
	for len(b) > 0 {
		c, rest, ok := NextCause(b)
		if !ok {
			t.Fatalf("malformed at %x", b)
		}
		causes = append(causes, c)
		b = rest
	}
	if id, ok := causes[0].InvalidStream(); !ok || id != 7 {
		t.Errorf("invalid stream %d, %v", id, ok)
	}
	for i, want := range []ParamType{ParamStateCookie, ParamIPv4} {
		if p, ok := causes[1].MissingParam(i); !ok || p != want {
			t.Errorf("missing parameter %d: %x, %v", i, p, ok)
		}
	}
	if late, ok := causes[2].StaleCookie(); !ok || late != 1500*time.Microsecond {
		t.Errorf("stale by %v, %v", late, ok)
	}
	if tsn, ok := causes[3].NoUserData(); !ok || tsn != 99 {
		t.Errorf("no user data at %d, %v", tsn, ok)
	}
	short := Cause{Info: []byte{0, 0, 0}}
	for _, code := range []CauseCode{CauseInvalidStream, CauseMissingParam, CauseStaleCookie, CauseNoUserData} {
		short.Code = code
		_, a := short.InvalidStream()
		_, b := short.MissingParam(0)
		_, c := short.StaleCookie()
		_, d := short.NoUserData()
		if a || b || c || d {
			t.Errorf("%v of three octets is taken", code)
		}
	}
	if _, ok := (Cause{Code: CauseMissingParam, Info: []byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 7}}).MissingParam(1); ok {
		t.Error("a count beyond the cause is believed")
	}
}

func TestTypedParams(t *testing.T) {
	b := AppendCookiePreservative(nil, 3*time.Second)
	b = AppendSupportedAddrTypes(b, ParamIPv4, ParamIPv6)
	b = AppendAdaptation(b, 0x6D680001)
	var params []Param
	for len(b) > 0 {
		p, rest, ok := NextParam(b)
		if !ok {
			t.Fatalf("malformed at %x", b)
		}
		params = append(params, p)
		b = rest
	}
	if d, ok := params[0].CookiePreservative(); !ok || d != 3*time.Second {
		t.Errorf("preservative %v, %v", d, ok)
	}
	if !params[1].SupportsAddrType(ParamIPv6) || params[1].SupportsAddrType(ParamHostName) || params[0].SupportsAddrType(ParamIPv4) {
		t.Error("supported address types")
	}
	if code, ok := params[2].Adaptation(); !ok || code != 0x6D680001 {
		t.Errorf("adaptation %x, %v", code, ok)
	}
	if _, ok := (Param{Type: ParamAdaptation, Value: []byte{1}}).Adaptation(); ok {
		t.Error("an adaptation code of one octet is taken")
	}
	c, _, _ := NextChunk(AppendLowestTSN(nil, TypeECNE, 5))
	if tsn, ok := ParseLowestTSN(c); !ok || tsn != 5 {
		t.Errorf("lowest TSN %d, %v", tsn, ok)
	}
}
