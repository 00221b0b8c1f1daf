package tcpemu

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// hinter knows at once where the host of a name may be, and after a while where
// it is.
type hinter struct {
	*town
	hints []netip.AddrPort
	after time.Duration
	err   error // there is no such host
}

func (h hinter) Begin(_ context.Context, name string, port uint16) (Targets, error) {
	return Targets{Hints: []Endpoint{{Remotes: h.hints, Identity: Identity{Name: name, Binding: "hint"}}}, Late: func(ctx context.Context) ([]Endpoint, error) {
		pause(ctx, h.after)
		if h.err != nil || ctx.Err() != nil {
			return nil, h.err
		}
		t, err := h.Resolve(ctx, name, port)
		return t.MH, err
	}}, nil
}

// Hands are shaken at hints while the addresses are on their way, so that the
// dial takes as long as the longer of the two. Hints that are wrong cost
// nothing: neither silence nor an acceptance nor a refusal there is the host's,
// and no octet gets there.
func TestHints(t *testing.T) {
	for _, test := range []struct {
		what  string
		hints []string
		after time.Duration
		want  time.Duration
		there int // connections that were accepted at wrong hints
	}{
		{"right, and the answer takes longer", []string{"server"}, time.Second, time.Second, 0},
		{"right, and the handshake takes longer", []string{"server"}, lanRTT / 2, 2 * lanRTT, 0},
		{"another host", []string{"other"}, time.Second, time.Second + 2*lanRTT, 1},
		{"another host, and the answer comes soon", []string{"other"}, lanRTT / 2, lanRTT/2 + 2*lanRTT, 1},
		{"another host, which refuses", []string{"refuses"}, time.Second, time.Second + 2*lanRTT, 0},
		{"nobody", []string{"nobody"}, time.Second, time.Second + 2*lanRTT, 0},
		{"nobody, and the right one", []string{"nobody", "server"}, time.Second, time.Second, 0},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				var hosts []*townHost
				for range 4 {
					hosts = append(hosts, w.addHost(1))
				}
				client, server, other := w.addParty(hosts[0], "client.example"), w.addParty(hosts[1], "server.example"), w.addParty(hosts[2], "other.example")
				refusing := listenOnHost(t, hosts[3].Host, hosts[3].addrs)
				l, err := Listen(refusing, &ListenConfig{Name: "refuses.example", Resolver: w})
				must(t, err)
				refuse(t, l)
				w.register("server.example", server.endpoint)
				where := map[string]netip.AddrPort{
					"server": server.endpoint.Addrs()[0], "other": other.endpoint.Addrs()[0], "refuses": refusing.Addrs()[0],
					"nobody": netip.MustParseAddrPort("198.51.0.99:9899"),
				}
				h := hinter{town: w, after: test.after}
				for _, hint := range test.hints {
					h.hints = append(h.hints, where[hint])
				}
				client.d.Resolver = h
				start := time.Now()
				c, err := client.d.DialEarly(t.Context(), "mh", "server.example:7", []byte("\n"))
				must(t, err)
				if took := time.Since(start); took < test.want || took > test.want+slack {
					t.Errorf("the dial took %v, want %v", took, test.want)
				}
				var name string
				if _, err := fmt.Fscanln(c, &name); err != nil || name != "server.example" {
					t.Errorf("%q answers, %v", name, err)
				}
				if id, err := c.(*Conn).Identity(t.Context()); err != nil || id.Name != "server.example" || id.Binding != "claim" {
					t.Errorf("it is known as %+v, %v", id, err)
				}
				c.Close()
				time.Sleep(time.Minute)
				if n := other.answered.Load(); n != 0 || len(other.accepted) != test.there || server.answered.Load() != 1 {
					t.Errorf("another host accepted %d connections and answered %d times, the host %d times", len(other.accepted), n, server.answered.Load())
				}
			})
		})
	}
}

// refuse has a listener refuse all that it is asked for.
func refuse(t *testing.T, l *Listener) {
	done := make(chan struct{})
	go func() { // ends with the listener
		defer close(done)
		for {
			o, err := l.AcceptOpen(context.Background())
			if err != nil {
				return
			}
			o.Reject(CodeRefused, "nobody listens")
		}
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		l.Shutdown(ctx)
		<-done
	})
}

// Where the addresses do not come, hints are not enough.
func TestHintsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		client, server := w.addParty(w.addHost(1), "client.example"), w.addParty(w.addHost(1), "server.example")
		client.d.Resolver = hinter{town: w, hints: server.endpoint.Addrs(), after: time.Second, err: errNoRecord}
		_, err := client.d.DialContext(t.Context(), "mh", "server.example:7")
		wantIs(t, "no addresses", err, syscall.EPROTONOSUPPORT)
		if n := server.answered.Load(); n != 0 {
			t.Errorf("%d answers", n)
		}
	})
}
