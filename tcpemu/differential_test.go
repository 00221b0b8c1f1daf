package tcpemu

import (
	"flag"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"testing"
)

var (
	scripts    = flag.Int("scripts", 200, "scripts that TestDifferential plays on TCP and on ours")
	scriptSeed = flag.Uint64("scripts.seed", 0, "seed of the first one; 0: a new one")
)

// knownDifferences are those that docs/tcp-emulation.md lists, by the names
// that it gives them.
var knownDifferences = []struct {
	name  string
	parts bool // what follows differs too
	is    func(p *player, st scriptStep, tcp, ours shown) bool
}{
	{"reset-is-no-end", false, func(_ *player, st scriptStep, tcp, ours shown) bool {
		return (st.verb == doRead || st.verb == doDrain) && tcp.err == "EOF" && ours.err == "read: connection reset by peer" && tcp.n == ours.n && !ours.bad
	}},
	{"over-when-sent", false, func(p *player, st scriptStep, tcp, ours shown) bool {
		return st.verb == doCloseWrite && p.messy() && tcp.err == "<nil>" && ours.err == "close: transport endpoint is not connected"
	}},
	{"reset-drops-less", true, func(_ *player, st scriptStep, tcp, ours shown) bool {
		return st.verb == doDrain && tcp.err == "read: connection reset by peer" && ours.err == "all" && !ours.bad
	}},
}

// Every call of two applications shows the same over TCP and over ours.
func TestDifferential(t *testing.T) {
	seed := *scriptSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("%d scripts, -scripts.seed=%d", *scripts, seed)
	w := newWorld(t, names{})
	l := listenTCP(t)
	for i := range *scripts {
		s := newScript(rand.New(rand.NewPCG(seed+uint64(i), 0)))
		p := newPlayer(t, w, l)
		d := p.finish(s)
		if d == "" {
			continue
		}
		s = s[:p.at+1].shrink(func(s callScript) bool { return newPlayer(t, w, l).finish(s) != "" })
		t.Fatalf("-scripts.seed=%d: %s\nsmallest script: %s\n%v", seed+uint64(i), d, newPlayer(t, w, l).finish(s), s)
	}
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// newPlayer opens a connection of each kind.
func newPlayer(t *testing.T, w *world, l net.Listener) *player {
	t.Helper()
	p := &player{link: &tcpLink{}, pending: [2]verb{nothing, nothing}, lingers: [2]int{-1, -1}}
	p.tcp.name, p.ours.name = "TCP", "ours"
	a, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	b, err := l.Accept()
	must(t, err)
	for e, c := range []net.Conn{a, b} {
		tcp := c.(*net.TCPConn)
		must(t, tcp.SetWriteBuffer(64<<10))
		must(t, tcp.SetReadBuffer(64<<10))
		p.tcp.ends[e], p.link.ends[e] = tcp, tcp
	}
	c, d := w.pipe()
	p.ours.ends = [2]scriptEnd{c, d}
	return p
}

// finish plays a script, closes both connections, and sees that nothing is
// left of ours.
func (p *player) finish(s callScript) (difference string) {
	difference = p.play(s)
	p.end()
	if difference != "" {
		return difference
	}
	if err := p.restOurs(); err != nil {
		return "after the end: " + err.Error()
	}
	for _, x := range p.ours.ends {
		c := x.(*Conn)
		c.s.mu.Lock()
		left := c.s.conns[c.sid] == c
		c.s.mu.Unlock()
		if left {
			return "after the end: the stream number is not free again"
		}
	}
	return ""
}

// The page lists the differences that the test lets pass, and no others.
func TestDifferencesAreListed(t *testing.T) {
	page, err := os.ReadFile("../docs/tcp-emulation.md")
	must(t, err)
	listed := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^- `([a-z-]+)`:").FindAllSubmatch(page, -1) {
		listed[string(m[1])] = true
	}
	for _, k := range knownDifferences {
		if !listed[k.name] {
			t.Errorf("%s is let pass and not listed in docs/tcp-emulation.md", k.name)
		}
		delete(listed, k.name)
	}
	for name := range listed {
		t.Errorf("docs/tcp-emulation.md lists %s, which the test does not know", name)
	}
}
