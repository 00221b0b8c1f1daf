package demo

import (
	"context"
	"io"
	"net"
	"net/http"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// rivals are what people use today, over the same cuts: plain TCP, and
// MultiPath TCP where the kernel has it.
func rivals(l *lab.Lab) []download {
	all := []download{{"tcp", "go", func(ctx context.Context, w io.Writer) error { return rival(ctx, l, w, false) }}}
	if testnet.HasMPTCP() {
		all = append(all, download{"mptcp", "go", func(ctx context.Context, w io.Writer) error { return rival(ctx, l, w, true) }})
	}
	return all
}

// rival downloads from a server at the site's first address.
func rival(ctx context.Context, l *lab.Lab, w io.Writer, multipath bool) error {
	if multipath {
		if err := l.Laptop.UseMPTCP(true); err != nil {
			return err
		}
		if err := l.Site.UseMPTCP(false); err != nil {
			return err
		}
	}
	var ln net.Listener
	err := l.Site.Do(func() (err error) {
		var lc net.ListenConfig
		lc.SetMultipathTCP(multipath)
		ln, err = lc.Listen(ctx, "tcp", net.JoinHostPort(l.Site.Addrs()[0].String(), "0"))
		return err
	})
	if err != nil {
		return err
	}
	m := w.(*meter)
	s := &http.Server{Handler: handler(m.size)}
	go func() { _ = s.Serve(ln) }() // ends with Close
	defer s.Close()
	return get(ctx, w, func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		err = l.Laptop.Do(func() error {
			var d net.Dialer
			d.SetMultipathTCP(multipath)
			c, err = d.DialContext(ctx, "tcp", ln.Addr().String())
			return err
		})
		return c, err
	})
}
