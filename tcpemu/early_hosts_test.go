package tcpemu

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// either is a name of several hosts, of which a dial takes the first that answers.
type either struct {
	*town
	names []string
}

func (e either) Resolve(ctx context.Context, _ string, port uint16) (all Targets, err error) {
	for _, name := range e.names {
		t, err := e.town.Resolve(ctx, name, port)
		if err != nil {
			return all, err
		}
		all.MH = append(all.MH, t.MH...)
	}
	return all, nil
}

// Octets that one host of a name may have read are not sent to the next one,
// whether the association with the first was being made or there before. An OPEN
// alone is, and octets too while nobody has answered.
func TestEarlyOctetsGoToOneHost(t *testing.T) {
	for name, c := range map[string]struct {
		cut          time.Duration // after the dial
		known        bool          // there is an association
		question     string
		first, other int32
	}{
		"nobody answers INIT":           {question: "\n", other: 1},
		"COOKIE ECHO is not answered":   {cut: lanRTT * 5 / 4, question: "\n", first: 1},
		"OPEN is not answered":          {cut: lanRTT / 4, question: "\n", known: true, first: 1},
		"OPEN alone is not answered":    {cut: lanRTT / 4, known: true},
		"COOKIE ECHO and OPEN, no DATA": {cut: lanRTT * 5 / 4},
	} {
		t.Run(name, func(outer *testing.T) {
			synctest.Test(outer, func(t *testing.T) {
				w := newTown(t)
				hosts := []*townHost{w.addHost(1), w.addHost(1), w.addHost(1)}
				client, a, b := w.addParty(hosts[0], "client.example"), w.addParty(hosts[1], "a.example"), w.addParty(hosts[2], "b.example")
				w.register("a.example", a.endpoint)
				w.register("b.example", b.endpoint)
				client.d.Resolver = either{w, []string{"a.example", "b.example"}}
				if c.known {
					held, err := client.d.DialContext(t.Context(), "mh", "both.example:7")
					must(t, err)
					defer held.Close()
				}
				if c.cut == 0 {
					hosts[1].isolate(w, true)
				} else {
					time.AfterFunc(c.cut, func() { hosts[1].isolate(w, true) })
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				conn, err := client.d.DialEarly(ctx, "mh", "both.example:7", []byte(c.question))
				if alone := c.question == "" || c.first == 0; alone {
					must(t, err)
					defer conn.Close()
				} else if !errors.Is(err, syscall.ETIMEDOUT) || ctx.Err() != nil {
					t.Errorf("dialled %t, error %v", conn != nil, err)
				}
				time.Sleep(time.Minute)
				if x, y := a.answered.Load(), b.answered.Load(); x != c.first || y != c.other {
					t.Errorf("the first host was asked %d times and the other one %d times, want %d and %d", x, y, c.first, c.other)
				}
			})
		})
	}
}

// A peer that ends the association which the COOKIE ECHO made has not refused the
// octets that came with that, though the dial never heard that there was one.
func TestAbortAfterEarlyOctets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		hosts := []*townHost{w.addHost(1), w.addHost(1), w.addHost(1)}
		client, a, b := w.addParty(hosts[0], "client.example"), w.addParty(hosts[1], "a.example"), w.addParty(hosts[2], "b.example")
		w.register("a.example", a.endpoint)
		w.register("b.example", b.endpoint)
		client.d.Resolver = either{w, []string{"a.example", "b.example"}}
		time.AfterFunc(lanRTT*5/4, func() { hosts[1].isolate(w, true) })
		time.AfterFunc(lanRTT*7/4, func() {
			hosts[1].isolate(w, false)
			a.endpoint.Close()
		})
		_, err := client.d.DialEarly(t.Context(), "mh", "both.example:7", []byte("\n"))
		if !errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error %v, want a reset", err)
		}
		time.Sleep(time.Minute)
		if x, y := a.answered.Load(), b.answered.Load(); x != 1 || y != 0 {
			t.Errorf("the first host was asked %d times and the other one %d times", x, y)
		}
	})
}
