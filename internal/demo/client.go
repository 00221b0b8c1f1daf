package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"

	"github.com/sctpmh/mh/internal/lab"
)

// serverAddr is where the site's plain HTTP server listens: only the gateway
// reaches it.
const serverAddr = "127.0.0.1:8080"

// handler serves the file.
func handler(size int64) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.Copy(w, content(size)) // the client has gone: its own meter tells
	})
	return mux
}

// serveFile starts the site's server.
func serveFile(l *lab.Lab, size int64) (io.Closer, error) {
	ln, err := l.Site.Listen(serverAddr)
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: handler(size)}
	go func() { _ = s.Serve(ln) }() // ends with Close
	return s, nil
}

// A download is one way to get the file.
type download struct {
	transport, client string
	run               func(context.Context, io.Writer) error
}

const fileURL = "http://" + lab.SiteName + "/file"

// proxied downloads through mh-socks: with curl where it is installed, as a
// user would, else with Go's client.
func proxied(l *lab.Lab) download {
	if curl, err := exec.LookPath("curl"); err == nil {
		return download{"mh", "curl", func(ctx context.Context, w io.Writer) error {
			var complaint bytes.Buffer
			// -q: whatever the user has in .curlrc is not for this.
			cmd := exec.CommandContext(ctx, curl, "-q", "-sS", "--fail", "--noproxy", "", "-x", "socks5h://127.0.0.1:1080", fileURL)
			cmd.Stdout, cmd.Stderr = w, &complaint
			if err := l.Laptop.Start(cmd); err != nil {
				return err
			}
			if err := cmd.Wait(); err != nil {
				return fmt.Errorf("curl: %w: %s", err, strings.TrimSpace(complaint.String()))
			}
			return nil
		}}
	}
	return download{"mh", "go", func(ctx context.Context, w io.Writer) error {
		return get(ctx, w, func(context.Context, string, string) (net.Conn, error) {
			return l.DialSocks(lab.SiteName, lab.ServicePort)
		})
	}}
}

// get downloads with Go's client over connections of the given kind.
func get(ctx context.Context, w io.Writer, dial func(context.Context, string, string) (net.Conn, error)) error {
	c := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fileURL, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}
