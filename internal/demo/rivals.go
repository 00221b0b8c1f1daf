package demo

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"

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
		// The connection is made over ISP A; the site announces its IPv4
		// address at ISP B, to which a subflow over ISP B can be made.
		if err := l.Laptop.UseMPTCP(); err != nil {
			return err
		}
		if err := l.Site.UseMPTCP(l.Site.Addrs()[2]); err != nil {
			return err
		}
	}
	var ln net.Listener
	err := l.Site.Do(func() (err error) {
		var lc net.ListenConfig
		lc.SetMultipathTCP(multipath)
		ln, err = lc.Listen(ctx, "tcp4", ":0") // subflows come to other addresses
		return err
	})
	if err != nil {
		return err
	}
	server := netip.AddrPortFrom(l.Site.Addrs()[0], uint16(ln.Addr().(*net.TCPAddr).Port)).String()
	m := w.(*meter)
	s := &http.Server{Handler: handler(m.size)}
	go func() { _ = s.Serve(ln) }() // ends with Close
	defer s.Close()
	return get(ctx, w, func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		err = l.Laptop.Do(func() error {
			var d net.Dialer
			d.SetMultipathTCP(multipath)
			c, err = d.DialContext(ctx, "tcp", server)
			return err
		})
		return c, err
	})
}
