package tcpemu

import (
	"net"
	"syscall"
	"time"
)

// keepAlive finds out whether the other end of a connection is still there when
// nothing comes from it: by PING, which the peer's session answers. The paths
// of the association have HEARTBEAT for that; it ends, and its connections with
// it, when none of them works. PING finds more: a peer whose paths answer but
// whose program does not.
//
// A gateway between two associations passes probes on; see RelayProbes. One with
// TCP behind it answers while there is a TCP connection. That one has TCP's own
// keepalive, which package net has on by default: it shows that the kernel at its
// other end is there, a few minutes after it is not, and the gateway resets one
// leg when the other has failed. A program that hangs it does not show, and
// neither do probes from end to end of TCP.
//
// Conn.mu guards it.
type keepAlive struct {
	net.KeepAliveConfig // without zeros
	timer               *time.Timer
	heard               time.Time // when something last came
	unanswered          int       // probes since
	waiting             []func()  // each lets go of one of them
}

// The defaults are those of package net.
const (
	defaultKeepAliveIdle     = 15 * time.Second
	defaultKeepAliveInterval = 15 * time.Second
	defaultKeepAliveCount    = 9
)

// SetKeepAlive says whether the connection is probed while nothing comes, by
// default not; if so, after 15 s, every 15 s and at most 9 times. When as many probes as the configuration allows are not answered
// calls fail with syscall.ETIMEDOUT. Its error is net.ErrClosed after Close.
func (c *Conn) SetKeepAlive(keepalive bool) error {
	return c.set(func() {
		cfg := net.KeepAliveConfig{Idle: -1, Interval: -1, Count: -1}
		cfg.Enable = keepalive
		c.configureKeepAlive(cfg)
	})
}

// SetKeepAlivePeriod sets after which time without anything from the peer it is
// probed, and how long after one probe the next one follows. Its error is
// net.ErrClosed after Close.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	return c.set(func() {
		c.configureKeepAlive(net.KeepAliveConfig{Enable: c.keepAlive != nil && c.keepAlive.Enable, Idle: d, Interval: d, Count: -1})
	})
}

// SetKeepAliveConfig sets all of it. As in package net, a field of zero means
// its default and one below leaves what there is. Its error is net.ErrClosed
// after Close.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.set(func() { c.configureKeepAlive(config) })
}

// configureKeepAlive is called with mu held.
func (c *Conn) configureKeepAlive(config net.KeepAliveConfig) {
	k := c.keepAlive
	if k == nil {
		k = &keepAlive{KeepAliveConfig: net.KeepAliveConfig{Idle: defaultKeepAliveIdle, Interval: defaultKeepAliveInterval, Count: defaultKeepAliveCount}}
		k.timer = time.AfterFunc(time.Hour, c.probe)
		c.keepAlive = k
	}
	k.Enable = config.Enable
	k.Idle = setting(config.Idle, k.Idle, defaultKeepAliveIdle)
	k.Interval = setting(config.Interval, k.Interval, defaultKeepAliveInterval)
	k.Count = setting(config.Count, k.Count, defaultKeepAliveCount)
	k.hear()
	k.timer.Stop()
	if k.Enable && !c.overLocked() {
		k.timer.Reset(k.Idle)
	}
}

// setting is what a new value makes of a setting.
func setting[T ~int | ~int64](new, old, fallback T) T {
	switch {
	case new == 0:
		return fallback
	case new < 0:
		return old
	}
	return new
}

// noteHeard notes that something has come from the peer. It is called with mu
// held.
func (c *Conn) noteHeard() {
	if k := c.keepAlive; k != nil && k.Enable {
		k.hear()
	}
}

// hear begins anew: something has come.
func (k *keepAlive) hear() {
	k.heard, k.unanswered = time.Now(), 0
	k.forget()
}

// forget lets go of the probes that wait for an answer. A peer that never
// answers would have them pile up.
func (k *keepAlive) forget() {
	for _, forget := range k.waiting {
		forget()
	}
	k.waiting = nil
}

// answeredProbe is noteHeard for a PONG.
func (c *Conn) answeredProbe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteHeard()
}

// probe sends a probe when it is time for one.
func (c *Conn) probe() {
	c.mu.Lock()
	k := c.keepAlive
	quiet := time.Since(k.heard)
	send, dead := false, false
	switch {
	case !k.Enable || c.overLocked():
	case k.unanswered == 0 && quiet < k.Idle:
		k.timer.Reset(k.Idle - quiet)
	case k.unanswered >= k.Count:
		dead = true
	default:
		send = true
		k.unanswered++
		k.timer.Reset(k.Interval)
	}
	c.mu.Unlock()
	switch {
	case dead:
		c.abort(syscall.ETIMEDOUT, CodeTimeout)
	case send:
		forget := c.s.ping(c.sid, false, c.answeredProbe)
		c.mu.Lock()
		defer c.mu.Unlock()
		if k.waiting = append(k.waiting, forget); c.overLocked() {
			k.forget() // stopTimers may have been before
		}
	}
}
