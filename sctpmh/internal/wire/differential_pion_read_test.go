package wire_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/pion/sctp"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// What pion has read of a packet shows in what its association does: what it
// delivers, acknowledges and answers. Each probe is an association of its own,
// in virtual time, and is fed packets that both parsers take; it has to behave
// as our reading of them says.

// Differences in what is made of packets that both parsers take.
var (
	looseGaps = difference{
		name: "gap blocks that overlap, descend or follow no gap take effect", right: "both: it is the sender's duty", rfc: "3.3.4",
		quote: "Each Gap Ack Block acknowledges a subsequence of TSNs received following a break in the sequence of received TSNs. The Gap Ack Blocks SHOULD be isolated.",
	}
	stoppingParams = difference{
		name: "INIT with addresses, or another parameter that pion does not know and that ends the list", right: "wire", rfc: "3.3.2",
		quote: "If an INIT chunk is received with all mandatory parameters that are specified for the INIT chunk, then the receiver SHOULD process the INIT chunk and send back an INIT ACK.",
	}
	lastEmptyParam = difference{
		name: "a last parameter without a value is not seen", right: "wire", rfc: "3.2.1",
		quote: "Thus, a parameter with a zero-length Parameter Value field would have a Parameter Length field of 4.",
	}
)

// sample returns chunks of a type from the mutated packets, those that both
// parsers take on their own, each once.
func sample(t *testing.T, n int, kind wire.ChunkType) (all []wire.Chunk) {
	t.Helper()
	corpus, seen := packets(t), map[string]bool{}
	for seed := range uint64(10 * mutations) {
		for _, c := range chunksOf([][]byte{mutated(corpus, seed)}, kind) {
			if our, pion, _, _ := judge(chunks(c.Raw)); our && pion && !seen[string(c.Raw)] {
				seen[string(c.Raw)] = true
				all = append(all, c)
			}
		}
		if len(all) >= n {
			return all
		}
	}
	t.Fatalf("%d different chunks of type %v, want %d", len(all), kind, n)
	return nil
}

// DATA: the payload is delivered on the stream, with the identifier, once the
// SSN is the next and the fragments that the flags say are missing are there;
// the TSN is acknowledged, at once if I is set.
func TestPionReadsTheSameData(t *testing.T) {
	all := sample(t, 1500, wire.TypeData)
	synctest.Test(t, func(t *testing.T) {
		for _, c := range all {
			probeData(t, c)
		}
	})
}

func probeData(t *testing.T, c wire.Chunk) {
	t.Helper()
	d, _ := wire.ParseData(c)
	fail := func(why string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s", wire.Text(chunks(c.Raw)), fmt.Sprintf(why, args...))
	}
	expected := d.TSN
	if !d.Begin {
		expected-- // the fragment before it
	}
	e := established(t, 1, expected-1)
	defer e.end()
	skip := forward(expected-1, d.Stream)
	if !d.Unordered && d.SSN > 1<<15 { // seen from 0 it is an old one: half of the way is given up first
		e.open(t, d.Stream)
		skip = forward(expected-1, d.Stream, 1<<15-1)
	}
	e.feed(chunks(skip))
	e.later()

	answers := e.feed(chunks(c.Raw))
	atOnce := len(answers) > 0
	if want := d.Immediate || !d.Begin; atOnce != want {
		fail("acknowledged at once: %v", atOnce)
	}
	if tsn, ok := acked(append(answers, e.later()...)); !ok || tsn != d.TSN {
		fail("acknowledged: %d, %v", tsn, ok)
	}

	complete := d.Begin && d.End
	inOrder := d.Unordered || d.SSN == 0
	messages := e.delivered()
	if early := len(messages) > 0; early != (complete && inOrder) {
		fail("delivered at first: %+v", messages)
	}
	want := message{d.Stream, d.PPID, string(d.Payload)}
	part := wire.Data{Unordered: d.Unordered, Stream: d.Stream, SSN: d.SSN, PPID: d.PPID}
	if !d.Begin {
		head := part
		head.Begin, head.TSN, head.Payload = true, d.TSN-1, []byte("head")
		want.payload = "head" + want.payload
		e.feed(chunks(wire.AppendData(nil, &head)))
	}
	if !d.End {
		tail := part
		tail.End, tail.TSN, tail.Payload = true, d.TSN+1, []byte("tail")
		want.payload += "tail"
		e.feed(chunks(wire.AppendData(nil, &tail)))
	}
	if !inOrder { // the messages before it are given up
		e.feed(chunks(forward(d.TSN+2, d.Stream, d.SSN-1)))
	}
	if messages = append(messages, e.delivered()...); !slices.Equal(messages, []message{want}) {
		fail("delivered %+v, want %+v", messages, want)
	}
}

// SACK: of messages of 1, 2, 4, ... octets the amount still buffered says which
// are acknowledged.
func TestPionReadsTheSameSack(t *testing.T) {
	const first = wire.TSN(0xFFFFFFFC)
	r := rand.New(rand.NewPCG(1, 9260))
	loose := 0
	synctest.Test(t, func(t *testing.T) {
		for range 1500 {
			cum := first - 2 + wire.TSN(r.IntN(sackMessages+3))
			var gaps []wire.Gap
			for range r.IntN(4) {
				start := uint16(r.IntN(sackMessages))
				gaps = append(gaps, wire.Gap{Start: start, End: start + uint16(r.IntN(3))})
			}
			if r.IntN(4) > 0 { // as a receiver would report them
				slices.SortFunc(gaps, func(a, b wire.Gap) int { return int(a.Start) - int(b.Start) })
			}
			raw := wire.AppendSack(nil, cum, r.Uint32(), gaps, make([]wire.TSN, r.IntN(3)))
			raw[1] = byte(r.Uint32()) // ignored
			if !probeSack(t, first, raw) {
				loose++
			}
		}
	})
	looseGaps.report(t, loose)
}

const sackMessages = 8

// probeSack reports false when a SACK takes effect that ours says is not valid.
func probeSack(t *testing.T, first wire.TSN, raw []byte) (agreed bool) {
	e := established(t, first, 1)
	defer e.end()
	s := e.open(t, 1)
	for i := range sackMessages {
		if _, err := s.Write(make([]byte, 1<<i)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
	}
	c, _, _ := wire.NextChunk(raw)
	sack, ok := wire.ParseSack(c)
	if !ok {
		t.Fatalf("%x is malformed", raw)
	}
	left, known := outstanding(first, sack)
	if !known { // it acknowledges what was never sent, or is an old one
		left = 1<<sackMessages - 1
	}
	e.feed(chunks(raw))
	if got := e.assoc.BufferedAmount(); got != left {
		t.Errorf("%s: left are %08b, want %08b", wire.Text(chunks(raw)), got, left)
	}
	return sack.Valid() || left == 1<<sackMessages-1
}

// outstanding returns which of the messages a SACK leaves, as bits, and whether
// it speaks of messages that were sent only.
func outstanding(first wire.TSN, s wire.Sack) (left int, known bool) {
	sent := func(n wire.TSN) bool { return n-first < sackMessages }
	known = s.CumTSN == first-1 || sent(s.CumTSN)
	for i := range wire.TSN(sackMessages) {
		acked := (first + i).LessEq(s.CumTSN)
		for b := range s.NumGaps() {
			g := s.Gap(b)
			acked = acked || i+first-s.CumTSN >= wire.TSN(g.Start) && i+first-s.CumTSN <= wire.TSN(g.End)
			known = known && g.Start > 0 && g.Start <= g.End && sent(s.CumTSN+wire.TSN(g.Start)) && sent(s.CumTSN+wire.TSN(g.End))
		}
		if !acked {
			left |= 1 << i
		}
	}
	return left, known
}

// ABORT: the causes, in their order, are what the streams end with. Where
// lengths are no multiples of four pion takes other octets for causes, see
// differences.
func TestPionReadsTheSameCauses(t *testing.T) {
	all := sample(t, 500, wire.TypeAbort)
	differ := 0
	synctest.Test(t, func(t *testing.T) {
		for _, c := range all {
			e := established(t, 1, 1)
			e.open(t, 1)
			e.feed(chunks(c.Raw))
			e.end()
			want, _ := causes(c.Value)
			aligned, _ := unpadded(chunks(c.Raw)[wire.HeaderLen+wire.ChunkHeaderLen:])
			if !slices.EqualFunc(want, aligned, func(a, b wire.Cause) bool { return a.Code == b.Code && bytes.Equal(a.Info, b.Info) }) {
				differ++
				want = aligned
			}
			if _, got, ok := strings.Cut(e.ended, sctp.ErrChunk.Error()+": "); !ok || got != pionCauses(want) {
				t.Errorf("%s: the stream ends with %q, want %q", wire.Text(chunks(c.Raw)), e.ended, pionCauses(want))
			}
		}
	})
	paddedCauses.report(t, differ)
}

// pionCauses is how pion writes causes.
func pionCauses(all []wire.Cause) string {
	var b strings.Builder
	if slices.ContainsFunc(all, func(c wire.Cause) bool { return c.Code == wire.CauseUserAbort }) {
		fmt.Fprintf(&b, "%v: ", sctp.ErrUserInitiatedAbort)
	}
	for _, c := range all {
		name := fmt.Sprintf("Unknown CauseCode: %d", c.Code)
		if int(c.Code) < len(pionNames) && c.Code > 0 {
			name = pionNames[c.Code]
		}
		if c.Code == wire.CauseUserAbort || c.Code == wire.CauseProtocolViolation {
			name += ": " + string(c.Info)
		}
		fmt.Fprintf(&b, "(%s)", name)
	}
	return b.String()
}

// pionNames are the names of causes in table 11 of RFC 9260, but for a hyphen
// and an Error.
var pionNames = [...]string{
	wire.CauseInvalidStream: "Invalid Stream Identifier", wire.CauseMissingParam: "Missing Mandatory Parameter",
	wire.CauseStaleCookie: "Stale Cookie Error", wire.CauseOutOfResource: "Out of Resource",
	wire.CauseUnresolvableAddr: "Unresolvable Address", wire.CauseUnrecognizedChunk: "Unrecognized Chunk Type",
	wire.CauseInvalidMandatoryParam: "Invalid Mandatory Parameter", wire.CauseUnrecognizedParams: "Unrecognized Parameters",
	wire.CauseNoUserData: "No User Data", wire.CauseCookieInShutdown: "Cookie Received While Shutting Down",
	wire.CauseRestartNewAddrs: "Restart of an Association with New Addresses", wire.CauseUserAbort: "User Initiated Abort",
	wire.CauseProtocolViolation: "Protocol Violation",
}

// Whole packets: behind each stands a HEARTBEAT more, which is answered last and
// with what it held. So pion has found the same chunks in it.
func TestPionFindsTheSameChunks(t *testing.T) {
	corpus, probes := packets(t), 0
	synctest.Test(t, func(t *testing.T) {
		for seed := uint64(0); probes < 2000; seed++ {
			p := mutated(corpus, seed)
			if our, pion, known, _ := judge(p); our && pion && known && len(p) < 4096 && harmless(p) {
				probes++
				probeChunks(t, slices.Clone(p))
			}
		}
	})
}

// harmless reports whether a packet leaves an association as it is, and is not
// dropped for its ports.
func harmless(p []byte) bool {
	for rest := p[wire.HeaderLen:]; len(rest) > 0; {
		c, next, _ := wire.NextChunk(rest)
		if isInit(c.Type) || isError(c.Type) || c.Type == wire.TypeShutdown {
			return false
		}
		rest = next
	}
	h, _ := wire.ParseHeader(p)
	return h.SrcPort != 0 && h.DstPort != 0
}

func probeChunks(t *testing.T, p []byte) {
	t.Helper()
	e := established(t, 1, 1)
	defer e.end()
	p = wire.AppendHeartbeat(p, wire.TypeHeartbeat, []byte("behind"))
	wire.SetChecksum(p)
	var want, got []string
	for _, c := range chunksOf([][]byte{p}, wire.TypeHeartbeat) {
		info, _ := wire.HeartbeatInfo(c)
		want = append(want, string(info))
	}
	for _, c := range chunksOf(e.feed(p), wire.TypeHeartbeatAck) {
		info, _ := wire.HeartbeatInfo(c)
		got = append(got, string(info))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: HEARTBEAT ACKs hold %q, want %q", wire.Text(p), got, want)
	}
}

// INIT: an association is set up with it, and is as its fields and parameters
// say.
func TestPionReadsTheSameInit(t *testing.T) {
	all := sample(t, 1000, wire.TypeInit)
	var stopped, unseen int
	synctest.Test(t, func(t *testing.T) {
		for _, c := range all {
			in, _ := wire.ParseInit(c)
			o := negotiated(in, false)
			if pions := negotiated(in, true); pions != o {
				unseen++
				o = pions
			}
			if o.stopped {
				stopped++
			}
			probeInit(t, c, in, o)
		}
	})
	stoppingParams.report(t, stopped)
	lastEmptyParam.report(t, unseen)
}

// An offer is what the parameters of an INIT come to for one who knows of them
// what pion does.
type offer struct {
	forwardTSN, interleaving, forwardMID bool // RFC 3758, RFC 8260
	zeroChecksum                         bool // RFC 9653
	stopped                              bool // by a parameter that is not known
}

// metadata is the offer as pion, which has all of these itself, shows it.
func (o offer) metadata() (m sctp.AssociationMetadata) {
	m.MessageInterleavingEnabled, m.ZeroChecksumSendingEnabled = o.interleaving, o.zeroChecksum
	switch {
	case o.interleaving && o.forwardMID:
		m.PartialReliabilityMode = sctp.PartialReliabilityModeIForwardTSN
	case !o.interleaving && o.forwardTSN:
		m.PartialReliabilityMode = sctp.PartialReliabilityModeForwardTSN
	}
	return m
}

// negotiated reads the parameters of an INIT, but for a last one of four octets
// if pions is set.
func negotiated(in wire.Init, pions bool) (o offer) {
	for b := in.Params; len(b) > 4 || len(b) == 4 && !pions; {
		p, rest, _ := wire.NextParam(b)
		skip, _ := p.Type.UnknownAction()
		switch {
		case p.Type == wire.ParamSupportedExt:
			lists := func(t wire.ChunkType) bool { return bytes.IndexByte(p.Value, byte(t)) >= 0 }
			o.forwardTSN = o.forwardTSN || lists(wire.TypeForwardTSN)
			o.interleaving = o.interleaving || lists(wire.TypeIData)
			o.forwardMID = o.forwardMID || lists(wire.TypeIForwardTSN)
		case p.Type == wire.ParamZeroChecksum && len(p.Value) == 4:
			o.zeroChecksum = binary.BigEndian.Uint32(p.Value) == 1 // DTLS (RFC 9653 section 6)
		case !skip && !pionKnowsParam(p):
			o.stopped = true
		}
		b = rest
	}
	return o
}

// pionKnowsParam is of those that end the list if they are not known.
func pionKnowsParam(p wire.Param) bool {
	switch p.Type {
	case wire.ParamHeartbeatInfo, wire.ParamStateCookie:
		return true
	case 13: // Outgoing SSN Reset Request (RFC 6525 section 4.1)
		return len(p.Value) >= 12
	case 16: // Re-configuration Response (RFC 6525 section 4.4)
		return len(p.Value) >= 8
	}
	return false
}

func probeInit(t *testing.T, c wire.Chunk, in wire.Init, o offer) {
	t.Helper()
	fail := func(why string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s", wire.Text(tagged(0, c.Raw)), fmt.Sprintf(why, args...))
	}
	e := newPionEnd()
	var setup sync.WaitGroup
	setup.Go(func() { e.assoc, _ = sctp.ServerWithOptions(e.options()) })
	defer func() {
		_ = e.Close()
		setup.Wait()
		e.end()
	}()

	answers := e.feed(tagged(0, c.Raw))
	valid := in.Tag != 0 && in.OutStreams > 0 && in.InStreams > 0 && in.ARwnd >= 1500
	acks := chunksOf(answers, wire.TypeInitAck)
	if taken := len(acks) == 1; taken != (valid && !o.stopped) {
		fail("answered with INIT ACK: %v", taken)
	} else if !taken {
		return
	}
	ack, ok := wire.ParseInit(acks[0])
	if h, _ := wire.ParseHeader(answers[0]); !ok || h.Tag != in.Tag || ack.OutStreams != in.OutStreams || ack.InStreams != in.InStreams {
		fail("answered with %s", wire.Text(answers[0]))
	}
	cookie, _, _ := wire.NextParam(ack.Params)
	answers = e.feed(chunks(wire.AppendChunk(nil, wire.TypeCookieEcho, 0, cookie.Value)))
	if setup.Wait(); e.assoc == nil || len(chunksOf(answers, wire.TypeCookieAck)) != 1 {
		fail("the cookie is not taken")
		return
	}
	meta, _ := e.assoc.Metadata()
	if want := o.metadata(); meta != want {
		fail("negotiated %+v, want %+v", meta, want)
	}
	if e.assoc.RWND() != in.ARwnd {
		fail("window %d", e.assoc.RWND())
	}
	if o.interleaving {
		return // then it takes no DATA
	}
	first := wire.Data{Begin: true, End: true, Immediate: true, TSN: in.TSN, Payload: []byte("x")}
	if tsn, ok := acked(e.feed(chunks(wire.AppendData(nil, &first)))); !ok || tsn != in.TSN {
		fail("acknowledged %d, %v", tsn, ok)
	}
}
