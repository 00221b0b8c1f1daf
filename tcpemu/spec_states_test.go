package tcpemu

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// routes is how a session gets into a state, by the events of the
// specification: as the one that opens, and as the one that is asked.
var routes = map[bool]map[string][]string{
	true: {
		"free":                 nil,
		"opening":              {"application opens"},
		"opening (FIN sent)":   {"application opens", "application half-closes"},
		"open":                 {"application opens", "OPEN_OK"},
		"half-closed (local)":  {"application opens", "OPEN_OK", "application half-closes"},
		"half-closed (remote)": {"application opens", "OPEN_OK", "FIN"},
		"resetting":            {"application opens", "application gives up"},
	},
	false: {
		"free":                 nil,
		"asked":                {"OPEN"},
		"asked (FIN received)": {"OPEN", "FIN"},
		"open":                 {"OPEN", "application accepts"},
		"half-closed (local)":  {"OPEN", "application accepts", "application half-closes"},
		"half-closed (remote)": {"OPEN", "FIN", "application accepts"},
		"resetting":            {"OPEN", "application accepts", "application resets"},
	},
}

// A stage is a session in a dialogue about one stream number, ours or the
// peer's.
type stage struct {
	*dialogue
	sid    uint16
	epoch  uint32
	c      *Conn
	asked  *Open
	giveUp context.CancelFunc
	told   chan error // how the application's open ended
}

func newStage(t *testing.T, ours bool) *stage {
	s := &stage{sid: 2, epoch: 7, told: make(chan error, 1)}
	if ours {
		s.sid = 1
	}
	s.dialogue = newDialogue(t, sessionConfig{dialled: true, accept: func(o *Open) error { s.asked = o; return nil }})
	s.want(0, typeHello)
	s.sayHello(1, helloAccepts)
	synctest.Wait()
	return s
}

// do lets an event of the specification happen, and returns what the session
// says then.
func (s *stage) do(event string) (said []string, codes []Code) {
	s.t.Helper()
	name, late := strings.CutPrefix(event, "late ")
	epoch, received := s.epoch, uint64(0)
	if late {
		epoch += 100
	}
	if s.c != nil {
		received = s.c.recv.received
	}
	switch name {
	case "application opens":
		var ctx context.Context
		ctx, s.giveUp = context.WithCancel(s.t.Context())
		go func() { // ends with the answer, or the association
			_, err := s.s.open(ctx, &request{target: Target{Port: 80}, early: []byte("q")})
			s.told <- err
		}()
	case "application gives up":
		s.giveUp()
	case "application accepts":
		_, err := s.asked.Accept(netip.AddrPort{})
		must(s.t, err)
	case "application refuses":
		s.asked.Reject(CodeDenied, "")
	case "application half-closes":
		must(s.t, s.c.CloseWrite())
	case "application resets":
		s.c.Reset()
	case "the association ends":
		s.a.Abort("over")
	case "DATA":
		s.sayData(s.sid, "x")
	default:
		typ, ok := frameNames[name]
		if !ok {
			s.t.Fatalf("no event is called %q", event)
		}
		s.say(s.sid, frame{typ: typ, epoch: epoch, target: Target{Port: 80}, credit: 100, offset: received, code: CodeTimeout})
	}
	synctest.Wait()
	if c := s.s.conns[s.sid]; c != nil {
		s.c, s.epoch = c, c.epoch
	}
	for len(s.out) > 0 {
		m := s.next()
		if m.PPID == ppidData {
			said = append(said, "DATA")
			continue
		}
		f, _, err := parseFrame(m.Data)
		must(s.t, err)
		for name, typ := range frameNames {
			if typ == f.typ {
				said = append(said, name)
			}
		}
		codes = append(codes, f.code)
	}
	return said, codes
}

// state is what the specification calls the state of the number.
func (s *stage) state() string {
	c := s.s.conns[s.sid]
	switch {
	case c == nil:
		return "free"
	case c.send.reset:
		return "resetting"
	case !isClosed(c.answered) && s.s.ours(s.sid):
		if c.send.ended {
			return "opening (FIN sent)"
		}
		return "opening"
	case !isClosed(c.answered):
		if c.recv.ended {
			return "asked (FIN received)"
		}
		return "asked"
	case c.send.ended:
		return "half-closed (local)"
	case c.recv.ended:
		return "half-closed (remote)"
	}
	return "open"
}

// A session goes from state to state as the table says, on its own numbers and
// on the peer's, and says what the table says.
func TestSpecificationStates(t *testing.T) {
	spec := readSpecification(t)
	var states []string
	played := 0
	for _, r := range spec.rows(t, "state", 3) {
		if len(r) < 4 { // the table of states
			states = append(states, r[0])
			continue
		}
		from := strings.Split(r[0], ", ")
		if r[0] == "any" {
			from = slices.DeleteFunc(slices.Clone(states), func(s string) bool { return s == "free" })
		}
		events, unanswered := strings.CutSuffix(r[1], ", where there was no answer")
		for _, state := range from {
			if !slices.Contains(states, state) {
				t.Errorf("row %q: no state is called %q", r, state)
			}
			for _, ours := range []bool{true, false} {
				if _, reached := routes[ours][state]; !reached || unanswered && !ours ||
					state == "free" && (events == "OPEN" && ours || events == "application opens" && !ours) {
					continue
				}
				for event := range strings.SplitSeq(events, ", ") {
					played++
					synctest.Test(t, func(t *testing.T) { playTransition(t, ours, state, event, r[2], r[3]) })
				}
			}
		}
	}
	if played < 100 {
		t.Errorf("only %d transitions were played", played)
	}
}

var capitals = regexp.MustCompile(`[A-Z_]{2,}`)

func playTransition(t *testing.T, ours bool, state, event, action, next string) {
	s := newStage(t, ours)
	defer s.a.Abort("over")
	for _, e := range routes[ours][state] {
		s.do(e)
	}
	if got := s.state(); got != state {
		t.Fatalf("the route to %s leads to %s", state, got)
	}
	said, codes := s.do(event)
	if next == "the same" {
		next = state
	}
	if breach := isClosed(s.a.done) && event != "the association ends"; breach || action == "breach" {
		if !breach || action != "breach" {
			t.Errorf("stream %d, %s: %s is a breach: %v, want %v", s.sid, state, event, breach, !breach)
		}
		return
	}
	sends, _, _ := strings.Cut(action, ";")
	if want := capitals.FindAllString(sends, -1); !slices.Equal(said, want) || s.state() != next {
		t.Errorf("stream %d, %s: %s has %v said and leads to %s, want %v and %s", s.sid, state, event, said, s.state(), want, next)
	}
	if strings.Contains(action, "tell the application") && strings.HasPrefix(state, "opening") && (len(s.told) == 0 || <-s.told == nil) {
		t.Errorf("stream %d, %s: %s, and the application is not told", s.sid, state, event)
	}
	if strings.Contains(sends, "same code") && !slices.Equal(codes, []Code{CodeTimeout}) {
		t.Errorf("stream %d, %s: %s is answered with codes %v, want %d", s.sid, state, event, codes, CodeTimeout)
	}
}
