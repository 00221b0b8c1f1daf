package tcpemu

import (
	"sync"

	"github.com/sctpmh/mh/sctpmh"
)

// pings are the PINGs of a session that wait for their PONG. The peer's session
// answers each as soon as it is received. One that was sent ordered on a stream
// is received after what was sent before on the stream: its PONG says that all
// of that has arrived, as an acknowledgement of TCP does.
type pings struct {
	mu      sync.Mutex // leaf
	last    uint64
	waiting map[uint64]func()
}

// ping sends PING on a stream and has answered called when PONG comes, by the
// goroutine that reads: it must not wait for anything. forget, which may be
// called at any time, lets it not be called any more.
func (s *session) ping(sid uint16, ordered bool, answered func()) (forget func()) {
	p := &s.pings
	p.mu.Lock()
	p.last++
	id := p.last
	if p.waiting == nil {
		p.waiting = make(map[uint64]func())
	}
	p.waiting[id] = answered
	p.mu.Unlock()
	f := frame{typ: typePing, opaque: id}
	s.push(queued{msg: sctpmh.Message{Stream: sid, PPID: ppidCtrl, Unordered: !ordered, Data: f.append(nil)}})
	return func() { p.take(id) }
}

// handlePong takes an answer. One that nobody waits for is late, or the peer's
// invention.
func (p *pings) handlePong(id uint64) {
	if answered := p.take(id); answered != nil {
		answered()
	}
}

func (p *pings) take(id uint64) (answered func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answered = p.waiting[id]
	delete(p.waiting, id)
	return answered
}
