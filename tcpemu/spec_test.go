package tcpemu

import (
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"net"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/socks5"
)

// The specification is for those who cannot read the code. What of it can be
// compared with the code is, both ways: nothing is missing in either.

// frameNames and tlvNames are what the specification calls the numbers.
var (
	frameNames = map[string]frameType{
		"HELLO": typeHello, "PING": typePing, "PONG": typePong, "GOAWAY": typeGoAway, "OPEN": typeOpen, "OPEN_OK": typeOpenOK,
		"OPEN_FAIL": typeOpenFail, "FIN": typeFin, "RESET": typeReset, "CREDIT": typeCredit, "URG": typeUrg, "RETURN": typeReturn,
	}
	tlvNames = map[string]tlv{
		"version": tlvVersion, "nonce": tlvNonce, "name": tlvName, "streams": tlvStreams, "credit": tlvCredit, "seen": tlvSeen,
		"epoch": tlvEpoch, "hops": tlvHops, "target": tlvTarget, "via": tlvVia, "code": tlvCode, "text": tlvText,
		"offset": tlvOffset, "opaque": tlvOpaque, "flags": tlvFlags, "octet": tlvOctet, "returns": tlvReturns, "from": tlvFrom,
	}
)

// constants are the numbers and limits that the specification must give, and
// gives no others.
var constants = map[string]any{
	"ppidData": ppidData, "ppidCtrl": ppidCtrl, "AdaptationCode": AdaptationCode, "protocolVersion": protocolVersion,
	"DefaultUDPPort": DefaultUDPPort, "helloTimeout": helloTimeout, "maxEarly": maxEarly, "maxEarlyOctets": maxEarlyOctets,
	"unheardMessages": unheardMessages, "unheardOctets": unheardOctets, "maxName": maxName, "maxVia": maxVia, "MaxHops": MaxHops,
	"earlyCredit": earlyCredit, "initialWindow": initialWindow, "grantStep": grantStep,
	"Windows.Conn": new(Windows).conn(), "Windows.Assoc": new(Windows).assoc(), "Windows.Process": new(Windows).process(), "Windows.Peer": new(Windows).peer(),
	"maxUnaccepted": maxUnaccepted, "maxUnacceptedPeer": maxUnacceptedPeer, "maxQueued": maxQueued, "verifyTimeout": verifyTimeout, "lingerLimit": lingerLimit,
	"unusedLimit": unusedLimit, "defaultKeepAliveIdle": defaultKeepAliveIdle,
	"defaultKeepAliveInterval": defaultKeepAliveInterval, "defaultKeepAliveCount": defaultKeepAliveCount, "holdLimit": holdLimit,
	"creditIdle": creditIdle, "maxRelayed": maxRelayed, "returnLeast": returnLeast,
}

// foreign are those that this package does not see, and where they are.
var foreign = map[string]string{
	"sctpmh.defaultPort":                "../sctpmh/config.go",
	"sctpmh.defaultStreams":             "../sctpmh/internal/engine/limits.go",
	"sctpmh/internal/engine.MaxMessage": "../sctpmh/internal/engine/limits.go",
}

// A specification is docs/tcp-emulation.md.
type specification struct {
	text   string
	blocks map[string][]string // code blocks, by the heading above
	tables map[string][][]string
}

// readSpecification reads the page. A table is known by its first heading.
func readSpecification(t *testing.T) *specification {
	t.Helper()
	page, err := os.ReadFile("../docs/tcp-emulation.md")
	must(t, err)
	s := &specification{text: string(page), blocks: make(map[string][]string), tables: make(map[string][][]string)}
	var heading, table string
	var block []string
	inside := false
	for line := range strings.Lines(s.text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "```":
			if inside {
				s.blocks[heading] = append(s.blocks[heading], strings.Join(block, "\n"))
			}
			inside, block = !inside, nil
		case inside:
			block = append(block, line)
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		case strings.HasPrefix(line, "| "):
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i, c := range cells {
				cells[i] = strings.TrimSpace(c)
			}
			if table == "" {
				table = cells[0]
			} else if !strings.HasPrefix(line, "| ---") {
				s.tables[table] = append(s.tables[table], cells)
			}
		default:
			table = ""
		}
	}
	return s
}

// rows returns those of the tables of a kind, each with n cells at least.
func (s *specification) rows(t *testing.T, table string, n int) [][]string {
	t.Helper()
	rows := s.tables[table]
	if len(rows) == 0 {
		t.Fatalf("the specification has no table of %q", table)
	}
	for _, r := range rows {
		if len(r) < n {
			t.Fatalf("table of %q: %q has no %d cells", table, r, n)
		}
	}
	return rows
}

// message returns the diagram of a message and its examples.
func (s *specification) message(t *testing.T, name string) (diagram string, examples []string) {
	t.Helper()
	blocks := s.blocks[fmt.Sprintf("%d %s", frameNames[name], name)]
	if len(blocks) < 2 {
		t.Fatalf("%s: the specification has %d blocks under a heading %q, want a diagram and an example", name, len(blocks), fmt.Sprintf("%d %s", frameNames[name], name))
	}
	return blocks[0], blocks[1:]
}

// Each message and each TLV has a name here, and so a place in what follows.
func TestSpecificationNamesAll(t *testing.T) {
	if len(frameNames) != len(layout) {
		t.Errorf("%d messages have a name, of %d", len(frameNames), len(layout))
	}
	for name, typ := range frameNames {
		if _, ok := layout[typ]; !ok {
			t.Errorf("%s is no message", name)
		}
	}
	if len(tlvNames) != int(tlvEnd)-1 {
		t.Errorf("%d TLVs have a name, of %d", len(tlvNames), tlvEnd-1)
	}
}

var (
	diagramType = regexp.MustCompile(`^\| *(\d+) \|$`)
	diagramRow  = regexp.MustCompile(`^([|:]) +(\d+) \| +([\d, -]+) \| (\w+) +([|:])$`)
)

// A diagram has the message's type and all its TLVs, in the order in which they
// are sent, with the lengths of the table.
func TestSpecificationDiagrams(t *testing.T) {
	s := readSpecification(t)
	lengths := make(map[string]string)
	for _, r := range s.rows(t, "TLV", 3) {
		lengths[r[1]] = r[2]
	}
	for name, typ := range frameNames {
		diagram, _ := s.message(t, name)
		var number string
		var required, optional []tlv
		for line := range strings.SplitSeq(diagram, "\n") {
			if strings.HasPrefix(line, "+-") {
				continue
			}
			if m := diagramType.FindStringSubmatch(line); m != nil {
				number = m[1]
				continue
			}
			m := diagramRow.FindStringSubmatch(line)
			if m == nil || m[1] != m[5] {
				t.Errorf("%s: a diagram has no row %q", name, line)
				continue
			}
			if id := tlvNames[m[4]]; strconv.Itoa(int(id)) != m[2] || m[3] != lengths[m[4]] {
				t.Errorf("%s: row %q, want TLV %d of length %s", name, line, id, lengths[m[4]])
			}
			if m[1] == "|" {
				required = append(required, tlvNames[m[4]])
			} else {
				optional = append(optional, tlvNames[m[4]])
			}
		}
		if number != strconv.Itoa(int(typ)) || !slices.Equal(required, layout[typ].required) || !slices.Equal(optional, layout[typ].optional) {
			t.Errorf("%s: the diagram has type %s, TLVs %v and %v; want %d, %v and %v", name, number, required, optional, typ, layout[typ].required, layout[typ].optional)
		}
	}
}

// The lengths of TLVs are those that are accepted, and no others.
func TestSpecificationLengths(t *testing.T) {
	rows := readSpecification(t).rows(t, "TLV", 4)
	if len(rows) != len(tlvNames) {
		t.Errorf("the table has %d TLVs, want %d", len(rows), len(tlvNames))
	}
	for _, r := range rows {
		id, ok := tlvNames[r[1]]
		if !ok || strconv.Itoa(int(id)) != r[0] {
			t.Errorf("TLV %s %s: its number is %d", r[0], r[1], id)
		}
		for n := range 300 {
			if got := accepts(id, n); got != within(t, r[2], n) {
				t.Errorf("TLV %s of length %d: accepted is %v, the specification says %s", r[1], n, got, r[2])
			}
		}
	}
}

// accepts reports whether some value of a length is accepted.
func accepts(id tlv, length int) bool {
	for _, kind := range []byte{1, 2, 'a'} { // of a target: an address, a name; or a name's third letter
		v := []byte(strings.Repeat("a", length))
		if length > 2 {
			v[2] = kind
		}
		if new(frame).parseTLV(id, v) {
			return true
		}
	}
	return false
}

// within reports whether ranges such as "2, 4-258" have n.
func within(t *testing.T, ranges string, n int) bool {
	t.Helper()
	for r := range strings.SplitSeq(ranges, ", ") {
		from, to, isRange := strings.Cut(r, "-")
		if !isRange {
			to = from
		}
		a, err := strconv.Atoi(from)
		must(t, err)
		b, err := strconv.Atoi(to)
		must(t, err)
		if a <= n && n <= b {
			return true
		}
	}
	return false
}

// The octets of an example are read as its values, and its values are written
// as its octets. Each TLV of a message is in one of its examples.
func TestSpecificationExamples(t *testing.T) {
	s := readSpecification(t)
	for name, typ := range frameNames {
		_, examples := s.message(t, name)
		shown := make(map[tlv]bool)
		for _, e := range examples {
			octets, want, has := readExample(t, name, e)
			got, known, err := parseFrame(octets)
			if err != nil || !known || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %x is read as\n%+v, %v, want\n%+v", name, octets, got, err, want)
			}
			if b := want.append(nil); !slices.Equal(b, octets) {
				t.Errorf("%s: it is written as\n%x, want\n%x", name, b, octets)
			}
			for _, id := range has {
				shown[id] = true
			}
		}
		for _, id := range slices.Concat(layout[typ].required, layout[typ].optional) {
			if !shown[id] {
				t.Errorf("%s: no example has TLV %d", name, id)
			}
		}
	}
}

// readExample reads an example: octets in hexadecimal, then "name = value" for
// each field.
func readExample(t *testing.T, name, block string) (octets []byte, f frame, has []tlv) {
	t.Helper()
	digits := ""
	f.typ = frameNames[name]
	for line := range strings.SplitSeq(block, "\n") {
		field, value, ok := strings.Cut(line, " = ")
		if !ok {
			digits += strings.ReplaceAll(line, " ", "")
			continue
		}
		id := tlvNames[field]
		if err := f.set(id, value); err != nil {
			t.Errorf("%s: %s: %v", name, line, err)
		}
		has = append(has, id)
	}
	octets, err := hex.DecodeString(digits)
	must(t, err)
	return octets, f, has
}

// set sets the field of a TLV to a value in text form.
func (f *frame) set(id tlv, value string) (err error) {
	var number any
	switch id {
	case tlvVersion:
		number = &f.version
	case tlvNonce:
		number = &f.nonce
	case tlvStreams:
		number = &f.streams
	case tlvCredit:
		number = &f.credit
	case tlvEpoch:
		number = &f.epoch
	case tlvHops:
		number = &f.hops
	case tlvCode:
		number = (*uint8)(&f.code)
	case tlvOffset:
		number = &f.offset
	case tlvOpaque:
		number = &f.opaque
	case tlvFlags:
		number = (*uint8)(&f.flags)
	case tlvOctet:
		number = &f.octet
	case tlvReturns:
		number = &f.returns
	case tlvFrom:
		number = &f.from
	case tlvVia:
		var gateway uint64
		number = &gateway
		defer func() { f.via = append(f.via, gateway) }()
	case tlvName:
		f.name = value
		return nil
	case tlvText:
		f.text = value
		return nil
	case tlvSeen:
		f.seen, err = netip.ParseAddrPort(value)
		return err
	case tlvTarget:
		f.target.Name, f.target.Port, err = splitTarget(value)
		if a, no := netip.ParseAddr(f.target.Name); no == nil {
			f.target.Addr, f.target.Name = a, ""
		}
		return err
	default:
		return fmt.Errorf("TLV %d has no field", id)
	}
	_, err = fmt.Sscan(value, number)
	return err
}

// The overview has each message with its stream and order, and so has doc.go
// with its TLVs.
func TestSpecificationOverview(t *testing.T) {
	rows := readSpecification(t).rows(t, "type", 4)
	streams := make(map[string]string)
	for _, r := range rows {
		typ, ok := frameNames[r[1]]
		if !ok || strconv.Itoa(int(typ)) != r[0] {
			t.Errorf("message %s %s: its type is %d", r[0], r[1], typ)
			continue
		}
		order := map[bool]string{true: "unordered", false: "ordered"}[ctrl(0, &frame{typ: typ}).Unordered]
		if r[3] != order && (typ != typePing || r[3] != "either") {
			t.Errorf("%s is sent %s, the specification says %s", r[1], order, r[3])
		}
		streams[r[1]] = map[string]string{"0": "SID 0", "any": "any", "its own": "stream"}[r[2]]
	}
	doc, err := os.ReadFile("doc.go")
	must(t, err)
	row := regexp.MustCompile(`(?m)^//\t *(\d+) ([A-Z_]+) +(SID 0|any|stream) +(.*)$`)
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		typ := frameNames[m[2]]
		var required, optional []tlv
		for _, name := range strings.Fields(m[4]) {
			if bare := strings.Trim(name, "[]"); bare != name {
				optional = append(optional, tlvNames[bare])
			} else {
				required = append(required, tlvNames[name])
			}
		}
		if m[1] != strconv.Itoa(int(typ)) || m[3] != streams[m[2]] ||
			!slices.Equal(required, layout[typ].required) || !slices.Equal(optional, layout[typ].optional) {
			t.Errorf("doc.go has %q, want type %d on %s, TLVs %v and %v", m[0], typ, streams[m[2]], layout[typ].required, layout[typ].optional)
		}
		delete(streams, m[2])
	}
	if len(rows) != len(layout) || len(streams) > 0 {
		t.Errorf("the overview has %d messages, want %d; doc.go lacks %v", len(rows), len(layout), streams)
	}
}

// The table of codes is that of the code, and users of SOCKS get the replies
// that it says.
func TestSpecificationCodes(t *testing.T) {
	errnos := map[string]syscall.Errno{
		"EPROTO": syscall.EPROTO, "EACCES": syscall.EACCES, "EAGAIN": syscall.EAGAIN, "ENETUNREACH": syscall.ENETUNREACH,
		"ECONNREFUSED": syscall.ECONNREFUSED, "EHOSTUNREACH": syscall.EHOSTUNREACH, "ETIMEDOUT": syscall.ETIMEDOUT, "ELOOP": syscall.ELOOP,
	}
	rows := readSpecification(t).rows(t, "code", 4)
	if len(rows) != len(codes) {
		t.Errorf("the table has %d codes, want %d", len(rows), len(codes))
	}
	for _, r := range rows {
		n, err := strconv.ParseUint(r[0], 10, 8)
		must(t, err)
		want, ok := codes[Code(n)]
		reply := socks5.ReplyTo(new(Dialer).opError(Addr{}, &RefusedError{Code: Code(n)}))
		if !ok || r[1] != want.text || errnos[r[2]] != want.errno || r[3] != strconv.Itoa(int(reply)) {
			t.Errorf("code %q, want %q, %v, reply %d", r, want.text, want.errno, reply)
		}
	}
}

// The page gives the constants that the test knows, wherever it gives one, and
// all of them in a table.
func TestSpecificationLimits(t *testing.T) {
	s := readSpecification(t)
	listed := make(map[string]bool)
	for _, table := range []string{"name", "limit"} {
		for _, r := range s.rows(t, table, 2) {
			name := strings.Trim(r[0], "`")
			listed[name] = true
			checkConstant(t, name, r[1])
		}
	}
	for _, m := range regexp.MustCompile("(\\d+(?: (?:[KMG]iB|ms|s|min))?) \\(`([\\w./]+)`\\)").FindAllStringSubmatch(s.text, -1) {
		checkConstant(t, m[2], m[1])
	}
	for name := range constants {
		if !listed[name] {
			t.Errorf("the specification does not list %s", name)
		}
	}
	for name := range foreign {
		if !listed[name] {
			t.Errorf("the specification does not list %s", name)
		}
	}
}

func checkConstant(t *testing.T, name, value string) {
	t.Helper()
	is, ok := constants[name]
	if file, elsewhere := foreign[name]; elsewhere {
		is, ok = constantOf(t, file, name[strings.LastIndexByte(name, '.')+1:]), true
	}
	number, unit, _ := strings.Cut(value, " ")
	n, err := strconv.ParseInt(number, 0, 64)
	must(t, err)
	n *= map[string]int64{
		"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
		"ms": int64(time.Millisecond), "s": int64(time.Second), "min": int64(time.Minute),
	}[unit]
	if !ok || fmt.Sprint(n) != fmt.Sprintf("%d", is) {
		t.Errorf("%s: the specification says %s, the code %v", name, value, is)
	}
}

// constantOf returns the value of a constant in a file of another package.
func constantOf(t *testing.T, file, name string) int64 {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	must(t, err)
	for node := range ast.Preorder(f) {
		if spec, ok := node.(*ast.ValueSpec); ok && spec.Names[0].Name == name && len(spec.Values) == 1 {
			v, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(spec.Values[0]))
			must(t, err)
			n, _ := constant.Int64Val(v.Value)
			return n
		}
	}
	t.Fatalf("%s has no constant %s", file, name)
	return 0
}

// A refusal by a code of a later version is one without an errno.
func TestSpecificationUnknownCode(t *testing.T) {
	err := new(Dialer).opError(Addr{}, &RefusedError{Code: 200})
	if reply := socks5.ReplyTo(err); reply != socks5.ReplyFailure {
		t.Errorf("reply %d", reply)
	}
	if e := err.(*net.OpError); e.Timeout() {
		t.Error("it is a timeout")
	}
}
