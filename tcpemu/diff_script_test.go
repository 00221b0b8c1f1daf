package tcpemu

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A script is what two applications do with their ends of a connection, one
// step after the other. It is played on a connection of TCP and on one of ours
// at the same time.
type callScript []scriptStep

// A scriptStep is a call at one end. What cannot be told in advance, because TCP does
// not promise it either, is skipped by the player.
type scriptStep struct {
	end  int // 0: who dialled; 1: who accepted
	verb verb
	n    int // octets, seconds, or which of two
}

type verb int

const (
	doWrite verb = iota
	doRead       // waits in the background when there is nothing to read
	doFlood      // a Write that waits in the background: more than both ends hold
	doDrain      // reads all that the other end has written
	doCloseWrite
	doCloseRead
	doClose
	doLinger
	doDeadlinePast
	doDeadlineFuture
	doDeadlineNone
	doDeadlineSoon // waits for it, when a call waits
	doReadDeadlinePast
	doWriteDeadlinePast
	doNoDelay
	doKeepAlive
	verbs
)

var verbNames = [verbs]string{
	"Write", "Read", "flood", "drain", "CloseWrite", "CloseRead", "Close", "SetLinger", "SetDeadline past", "SetDeadline future",
	"SetDeadline none", "SetDeadline soon", "SetReadDeadline past", "SetWriteDeadline past", "SetNoDelay", "SetKeepAlive",
}

// weights say how often a verb comes. Those that end something come less often
// than those that find out what is left.
var weights = [verbs]int{14, 16, 2, 3, 4, 3, 4, 3, 1, 1, 3, 2, 1, 1, 2, 1}

func (s scriptStep) String() string {
	return fmt.Sprintf("%c.%s(%d)", 'a'+rune(s.end), verbNames[s.verb], s.n)
}

func (s callScript) String() string {
	var b strings.Builder
	for _, x := range s {
		fmt.Fprintf(&b, "\t%v\n", x)
	}
	return b.String()
}

// newScript invents a script.
func newScript(r *rand.Rand) (s callScript) {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	for range 3 + r.IntN(18) {
		x, v := r.IntN(sum), verb(0)
		for x >= weights[v] {
			x -= weights[v]
			v++
		}
		st := scriptStep{end: r.IntN(2), verb: v}
		switch v {
		case doWrite, doRead:
			st.n = []int{0, 1, 7, 100, 1300, 8 << 10, r.IntN(8 << 10)}[r.IntN(7)]
		case doLinger:
			st.n = []int{-1, 0, 0, 1, 5}[r.IntN(5)]
		case doNoDelay, doKeepAlive:
			st.n = r.IntN(2)
		}
		s = append(s, st)
	}
	return s
}

// shrink returns the smallest script, as far as leaving out single steps leads
// there, that still fails.
func (s callScript) shrink(fails func(callScript) bool) callScript {
	for end := time.Now().Add(shrinkLimit); ; {
		smaller := false
		for i := 0; i < len(s) && time.Now().Before(end); i++ {
			t := append(append(callScript(nil), s[:i]...), s[i+1:]...)
			if fails(t) {
				s, smaller = t, true
				i--
			}
		}
		if !smaller {
			return s
		}
	}
}

const (
	// flood is more than both ends of a connection hold, in octets.
	flood = 8 << 20

	// floodBegun is how much of it arrives before the writer waits, at the least.
	floodBegun = 4 << 10

	// smallPiece fits a packet, in octets. How much beyond that a Read gets that
	// waits, or a Write gets rid of before a reset answers its first packet, is a
	// matter of luck.
	smallPiece = 100

	// shrinkLimit bounds the search for the smallest script.
	shrinkLimit = 20 * time.Second

	// stepLimit bounds a step, in which nothing takes as long.
	stepLimit = 10 * time.Second
)
