package difftest

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A comparison asks both stacks the same and explains what differs.
type comparison struct {
	t            *testing.T
	ours         *ours
	theirs       *theirs
	asked, agree int
	hangs        int   // packets that usrsctp is not asked
	explained    []int // by difference
	unexplained  int
}

// ask compares the answers to one packet.
func (c *comparison) ask(established bool, packet []byte) {
	c.t.Helper()
	if established && hangs(packet) {
		c.hangs++
		return
	}
	q := questionOf(established, packet)
	var said [2]string
	for i, s := range []stack{c.ours, c.theirs} {
		p := packet
		if established {
			b, err := establish(s)
			if err != nil {
				c.t.Fatalf("stack %d: %v", i, err)
			}
			p = b.address(packet)
		} else {
			s.reset()
		}
		said[i] = summary(s.feed(p))
	}
	c.asked++
	if said[0] == said[1] {
		c.agree++
		return
	}
	i := slices.IndexFunc(differences, func(d difference) bool { return d.fits(q, said[0], said[1]) })
	if i >= 0 {
		c.explained[i]++
		return
	}
	if c.unexplained++; c.unexplained <= 20 {
		c.t.Errorf("established: %v: %s\n\t%x\n\twe answer %s\n\tusrsctp   %s", established, wire.Text(packet), packet, said[0], said[1])
	}
}

const defaultMutations = 3000

var (
	mutations = flag.Int("difftest.n", defaultMutations, "mutations of each of the two corpora")
	seed      = flag.Uint64("difftest.seed", 1, "of the mutations")
)

// Both stacks answer the same to the packets of the corpora and to mutations of
// them, but for the differences.
func TestSameAnswers(t *testing.T) {
	c := &comparison{t: t, ours: new(ours), theirs: startTheirs(t), explained: make([]int, len(differences))}
	for _, p := range corpus(t, "established.txt") {
		c.ask(true, p)
	}
	for i, name := range []string{"listening.txt", "unknown.txt"} {
		packets := corpus(t, name)
		for _, p := range packets {
			c.ask(i == 1, p)
		}
		rng := rand.New(rand.NewPCG(*seed, uint64(i)))
		for range *mutations {
			c.ask(i == 1, mutate(rng, packets))
		}
	}
	for i, d := range differences {
		if c.explained[i] == 0 && *mutations == defaultMutations && *seed == 1 {
			t.Errorf("the difference %q does not occur", d.name)
		}
		t.Logf("%4d %s (%s, RFC %s)", c.explained[i], d.name, d.right, d.rfc)
	}
	t.Logf("%d packets, the same answer to %d; %d more would hang usrsctp", c.asked, c.agree, c.hangs)
}
