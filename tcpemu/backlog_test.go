package tcpemu

import (
	"testing"
	"testing/synctest"
)

// A connection that waited until its peer was known is refused when the listener
// has been closed meanwhile: nobody would accept it.
func TestPlacedAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		client, server := w.addCaller(w.addHost(1), "client.example"), w.addCaller(w.addHost(1), "server.example")
		w.register("server.example", server.endpoint)
		end := make(chan error, 1)
		go func() { // ends with the dial
			_, err := client.d.DialContext(t.Context(), "mh", "server.example:7")
			end <- err
		}()
		o, err := server.l.AcceptOpen(t.Context())
		must(t, err)
		server.l.Close()
		server.l.replace([]*Open{o})
		synctest.Wait()
		if n := len(server.l.backlog.queue); n != 0 {
			t.Errorf("%d connections wait to be accepted by nobody", n)
			o.Reject(CodeAway, "")
		}
		<-end
	})
}
