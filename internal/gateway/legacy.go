package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
)

// A door is where legacy clients come in.
type door struct {
	net.Listener
	key         string // its table in the configuration
	listen      config.HostPort
	transparent bool
	serve       func(client net.Conn)
}

// open opens the doors of all forwards and intercepts.
func (g *gateway) open() (doors []*door, err error) {
	for _, f := range g.cfg.Forwards {
		doors = append(doors, &door{key: "forward", listen: f.Listen, serve: func(c net.Conn) { g.forward(c, f) }})
	}
	for _, i := range g.cfg.Intercepts {
		doors = append(doors, &door{key: "intercept", listen: i.Listen, transparent: i.Mode == config.InterceptTProxy, serve: func(c net.Conn) { g.intercept(c, i.Mode) }})
	}
	for i, d := range doors {
		if err = d.open(); err != nil {
			for _, open := range doors[:i] {
				open.Close()
			}
			return nil, fmt.Errorf("%s: %w", d.key, err)
		}
	}
	return doors, nil
}

// open listens. Where a redirected client was going the kernel does not tell of
// multipath TCP.
func (d *door) open() (err error) {
	var single net.ListenConfig
	single.SetMultipathTCP(false)
	if d.transparent {
		single.Control = transparent
	}
	d.Listener, err = single.Listen(context.Background(), "tcp", string(d.listen))
	return err
}

// acceptLegacy takes the clients of a door until it is closed and they are
// gone.
func (g *gateway) acceptLegacy(d *door) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		client, err := d.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			g.host.Log.Warn("cannot accept", d.key, string(d.listen), "error", err.Error())
			time.Sleep(100 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		select {
		case g.slots <- struct{}{}:
		default:
			g.host.Log.Warn("connection refused: too many", "peer", client.RemoteAddr().String(), "limit", cap(g.slots))
			client.Close()
			continue
		}
		wg.Go(func() { // ends with the connection
			defer func() { <-g.slots }()
			d.serve(client)
		})
	}
}

// forward takes a legacy client to a host that speaks mh.
func (g *gateway) forward(client net.Conn, f config.Forward) {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Limits.Connect.D())
	c, err := g.dialer.DialContext(ctx, "mh", string(f.To))
	cancel()
	if err != nil {
		g.failed(client, string(f.To), err)
		return
	}
	g.streams.Run(daemon.Stream{Peer: client.RemoteAddr().String(), Target: string(f.To), Transport: "mh"}, client, c)
}

// failed resets a legacy client whose target was not reached.
func (g *gateway) failed(client net.Conn, target string, err error) {
	g.host.Log.Warn("connection failed", slog.String("client", client.RemoteAddr().String()), slog.String("target", target), slog.String("error", err.Error()))
	if tcp, ok := client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	client.Close()
}
