package wire_test

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/sctp"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A pionEnd is an association of pion's and the test's end of its connection.
type pionEnd struct {
	net.Conn // none: what is not below is not called
	assoc    *sctp.Association
	in       chan []byte
	closed   chan struct{}
	close    sync.Once
	readers  sync.WaitGroup

	mu       sync.Mutex
	out      [][]byte
	messages []message
	ended    string // why a stream ended
}

type message struct {
	stream  wire.StreamID
	ppid    wire.PPID
	payload string
}

func (e *pionEnd) Read(b []byte) (int, error) {
	select {
	case p := <-e.in:
		return copy(b, p), nil
	case <-e.closed:
		return 0, io.EOF
	}
}

func (e *pionEnd) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out = append(e.out, slices.Clone(b))
	return len(b), nil
}

func (e *pionEnd) Close() error {
	e.close.Do(func() { close(e.closed) })
	return nil
}

func newPionEnd() *pionEnd { return &pionEnd{in: make(chan []byte), closed: make(chan struct{})} }

func (e *pionEnd) options() sctp.Config {
	return sctp.Config{NetConn: e, LoggerFactory: &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}}
}

// initChunk is the INIT of an end where there is no handshake.
func initChunk(tsn wire.TSN) []byte {
	extensions := wire.AppendParam(nil, wire.ParamSupportedExt, []byte{byte(wire.TypeForwardTSN)})
	return wire.AppendInit(nil, wire.TypeInit, wire.Init{Tag: 7, ARwnd: 1 << 20, OutStreams: 65535, InStreams: 65535, TSN: tsn, Params: extensions})
}

// established is an association whose ends have exchanged their INITs, with
// these initial TSNs, by other means than packets.
func established(t *testing.T, pions, tests wire.TSN) *pionEnd {
	t.Helper()
	e := newPionEnd()
	var err error
	e.assoc, err = sctp.ClientWithOptions(e.options(), sctp.WithSNAP(initChunk(pions), initChunk(tests)))
	if err != nil {
		t.Fatal(err)
	}
	e.readers.Go(e.accept)
	return e
}

// open opens a stream, and reads what comes on it.
func (e *pionEnd) open(t *testing.T, id wire.StreamID) *sctp.Stream {
	t.Helper()
	s, err := e.assoc.OpenStream(uint16(id), 50)
	if err != nil {
		t.Fatal(err)
	}
	e.readers.Go(func() { e.read(s) })
	return s
}

// accept reads the streams that come, until the association ends.
func (e *pionEnd) accept() {
	for s, err := e.assoc.AcceptStream(); err == nil; s, err = e.assoc.AcceptStream() {
		e.readers.Go(func() { e.read(s) })
	}
}

func (e *pionEnd) read(s *sctp.Stream) {
	for b := make([]byte, 64<<10); ; {
		n, ppid, err := s.ReadSCTP(b)
		if !e.note(message{wire.StreamID(s.StreamIdentifier()), wire.PPID(ppid), string(b[:n])}, err) {
			return
		}
	}
}

// note keeps what a stream has delivered, or why it has ended.
func (e *pionEnd) note(m message, err error) (goesOn bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.ended = err.Error()
		return false
	}
	e.messages = append(e.messages, m)
	return true
}

// feed hands over packets and returns what is answered at once.
func (e *pionEnd) feed(packets ...[]byte) (answers [][]byte) {
	for _, p := range packets {
		select {
		case e.in <- p:
		case <-e.closed:
		}
	}
	synctest.Wait()
	return e.answers()
}

// later lets time pass, that of the bubble, until delayed answers are given.
func (e *pionEnd) later() (answers [][]byte) {
	time.Sleep(time.Second)
	synctest.Wait()
	return e.answers()
}

func (e *pionEnd) answers() (out [][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out, e.out = e.out, nil
	return out
}

func (e *pionEnd) delivered() (all []message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all, e.messages = e.messages, nil
	return all
}

func (e *pionEnd) end() {
	if e.assoc != nil {
		_ = e.assoc.Close() // it may have ended
	}
	e.readers.Wait()
}

// chunks is a packet of these, padded.
func chunks(all ...[]byte) []byte { return tagged(7, all...) }

func tagged(tag wire.Tag, all ...[]byte) []byte {
	p := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 5000, Tag: tag})
	for _, raw := range all {
		p = append(p, raw...)
		p = append(p, make([]byte, -len(p)&3)...)
	}
	wire.SetChecksum(p)
	return p
}

// chunksOf returns the chunks of a type in some packets.
func chunksOf(packets [][]byte, t wire.ChunkType) (all []wire.Chunk) {
	for _, p := range packets {
		if _, ok := wire.ParseHeader(p); !ok {
			continue
		}
		for rest := p[wire.HeaderLen:]; len(rest) > 0; {
			c, next, ok := wire.NextChunk(rest)
			if !ok {
				break
			}
			if c.Type == t {
				all = append(all, c)
			}
			rest = next
		}
	}
	return all
}

// acked returns the highest TSN that one SACK among some packets reports.
func acked(packets [][]byte) (tsn wire.TSN, ok bool) {
	all := chunksOf(packets, wire.TypeSack)
	if len(all) != 1 {
		return 0, false
	}
	s, ok := wire.ParseSack(all[0])
	tsn = s.CumTSN
	if n := s.NumGaps(); n > 0 {
		tsn = tsn.Add(uint32(s.Gap(n - 1).End))
	}
	return tsn, ok
}

// forward is a FORWARD TSN (RFC 3758 section 3.2) that gives up messages of one
// stream, up to an SSN if there is one.
func forward(cum wire.TSN, id wire.StreamID, ssn ...wire.SSN) []byte {
	v := binary.BigEndian.AppendUint32(nil, uint32(cum))
	for _, n := range ssn {
		v = binary.BigEndian.AppendUint16(v, uint16(id))
		v = binary.BigEndian.AppendUint16(v, uint16(n))
	}
	return wire.AppendChunk(nil, wire.TypeForwardTSN, 0, v)
}
