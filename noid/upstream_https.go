package noid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"

	"github.com/miekg/dns"
)

const dnsMessage = "application/dns-message" // RFC 8484 section 6

// askHTTPS asks a server over HTTPS (RFC 8484). The id is 0 (section 4.1), and
// nothing in the request tells one client from another.
func (u *upstreams) askHTTPS(ctx context.Context, q *dns.Msg, up Upstream) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	b, err := pack(q, 0, true)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+up.authority()+up.Path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", dnsMessage)
	req.Header.Set("Accept", dnsMessage)
	req.Header.Set("User-Agent", "")
	resp, err := u.client(up).Do(req)
	if err != nil {
		return nil, tlsError(up, err)
	}
	defer resp.Body.Close()
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); resp.StatusCode != http.StatusOK || err != nil || kind != dnsMessage {
		return nil, fmt.Errorf("HTTP status %s with content %s, not a DNS answer: is %s the path of questions?", quote(resp.Status), quote(kind), up.Path)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return nil, err
	}
	if len(body) == maxMessage {
		return nil, errors.New("the answer is longer than a DNS message can be")
	}
	m, err := unpack(body, q, 0)
	if err == nil {
		grow(m, resp.Header.Get("Age"))
	}
	return m, err
}

// grow takes the time off the records that the answer lay in a cache of HTTP's
// (RFC 8484 section 5.1).
func grow(m *dns.Msg, age string) {
	n, err := strconv.ParseUint(age, 10, 32)
	if err != nil {
		return
	}
	for _, records := range [][]dns.RR{m.Answer, m.Ns} {
		for _, rr := range records {
			h := rr.Header()
			h.Ttl -= min(h.Ttl, uint32(n))
		}
	}
}

// client returns the HTTP client of a server, which keeps its connection.
func (u *upstreams) client(up Upstream) *http.Client {
	u.mu.Lock()
	defer u.mu.Unlock()
	if c := u.https[up]; c != nil {
		return c
	}
	c := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // where it leads would have to be looked up
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, streamTimeout)
				defer cancel()
				defer context.AfterFunc(u.ctx, cancel)()
				return u.dial(ctx, "tcp", up.Addr.String())
			},
			TLSClientConfig:        u.tlsConfig(up),
			TLSHandshakeTimeout:    streamTimeout,
			ForceAttemptHTTP2:      true, // RFC 8484 section 5.2
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: streamTimeout, PingTimeout: streamTimeout},
			IdleConnTimeout:        streamIdle,
			MaxConnsPerHost:        maxQueries,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
		},
	}
	u.https[up] = c
	return c
}
