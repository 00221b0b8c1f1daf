package tcpemu

import (
	"context"
	"testing"
	"time"
)

// Who has said GOAWAY opens nothing and lets nothing be opened; what there is
// goes on to its end, FIN included, and only then the association ends.
func TestDrainLetsConnectionsFinish(t *testing.T) {
	accepted := make(chan *Conn, 2)
	d := newDialogue(t, sessionConfig{accept: accepting(accepted)})
	d.want(0, typeHello)
	d.sayHello(1, helloDialled)
	d.say(1, frame{typ: typeOpen, epoch: 7, target: Target{Port: 80}, credit: 1000})
	d.want(1, typeOpenOK)
	c := <-accepted
	closed := make(chan struct{})
	go func() { // ends when the association has
		defer close(closed)
		d.s.close(context.Background())
	}()
	d.want(0, typeGoAway)
	d.say(3, frame{typ: typeOpen, epoch: 8, target: Target{Port: 80}, credit: 1000})
	if f := d.want(3, typeOpenFail); f.code != CodeAway {
		t.Errorf("OPEN that crossed GOAWAY: code %d", f.code)
	}
	d.say(3, frame{typ: typeReset, epoch: 8, code: CodeAway})
	if o := <-d.open(""); !undone(o.err) {
		t.Errorf("open after GOAWAY: %v", o.err)
	}
	d.sayData(1, "the rest")
	d.say(1, frame{typ: typeFin, offset: 8})
	d.wantRead(c, "the rest")
	_, err := c.Write([]byte("bye"))
	must(t, err)
	d.wantData(1, "bye")
	if isClosed(d.a.done) {
		t.Fatal("the association ended before its last connection")
	}
	must(t, c.Close())
	d.want(1, typeFin)
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the association does not end with its last connection")
	}
}

// The last word of the last connection is the association's before that shuts
// down: nothing can be sent after.
func TestDrainWaitsForTheLastWord(t *testing.T) {
	accepted := make(chan *Conn, 1)
	d := newDialogue(t, sessionConfig{accept: accepting(accepted)})
	d.sayHello(1, helloDialled)
	d.say(1, frame{typ: typeOpen, epoch: 7, target: Target{Port: 80}, credit: 1000})
	d.say(1, frame{typ: typeFin})
	c := <-accepted
	d.want(0, typeHello)
	d.want(1, typeOpenOK)
	for len(d.out) < cap(d.out) {
		d.out <- ctrl(0, &frame{typ: typePong}) // the association takes nothing for a while
	}
	must(t, c.Close())
	closed := make(chan struct{})
	go func() { // ends when the association has
		defer close(closed)
		d.s.close(context.Background())
	}()
	for range cap(d.out) {
		d.want(0, typePong)
	}
	d.want(1, typeFin)
	d.want(0, typeGoAway)
	<-closed
}
