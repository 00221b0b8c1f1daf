package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/noid"
)

const (
	resolverCheck = "resolver"

	// answerTime is how long a server may take.
	answerTime = 2 * time.Second
)

// checkResolver asks every DNS server one question: for the configured name,
// or for the root's servers. Where answers are validated here, another one says
// whether the server passes signatures on.
func checkResolver(ctx context.Context, c *config.Common, resolvConf string) (out []Finding) {
	servers, err := upstreams(c, resolvConf)
	if err != nil || len(servers) == 0 {
		return []Finding{noServer(c, resolvConf, err)}
	}
	name, qtype := ".", dns.TypeNS
	if c.Name != "" {
		name, qtype = dns.Fqdn(string(c.Name)), dns.TypeA
	}
	answers := ask(ctx, servers, name, qtype)
	var keys []answer
	if c.DNS.Validates() {
		keys = ask(ctx, servers, ".", dns.TypeDNSKEY)
	}
	silent := Fail
	for _, a := range answers {
		if a.err == nil {
			silent = Warn // others stand in
		}
	}
	for i, a := range answers {
		if a.err != nil {
			out = append(out, Finding{resolverCheck, silent, fmt.Sprintf("%s: %s %s: %v", a.label(), dns.TypeToString[qtype], name, a.err),
				[]string{"name a server that answers in dns.upstream, or mend " + resolvConf}})
			continue
		}
		f := a.finding(c, name)
		if f.Status == OK && keys != nil && !keys[i].signed() {
			f = Finding{resolverCheck, Warn, f.Seen + `; it passes no signatures on, so no name is validated, and with dns.trust = "strict" none is believed`,
				[]string{"name a server that knows DNSSEC in dns.upstream, and zones that nobody signs in dns.unsigned"}}
		}
		out = append(out, f)
	}
	return out
}

// upstreams are the servers that a daemon would ask.
func upstreams(c *config.Common, resolvConf string) (out []noid.Upstream, err error) {
	for _, u := range c.DNS.Upstream {
		out = append(out, u.Upstream)
	}
	if len(out) > 0 {
		return out, nil
	}
	return noid.SystemUpstreams(resolvConf)
}

func noServer(c *config.Common, resolvConf string, err error) Finding {
	seen := resolvConf + " names no DNS server"
	if err != nil {
		seen = "no DNS server: " + err.Error()
	}
	if c.DNS.Hosts != "" {
		return Finding{resolverCheck, Info, seen + ": only the names of " + c.DNS.Hosts + " are known", nil}
	}
	return Finding{resolverCheck, Fail, seen, []string{`dns.upstream = ["udp://ADDRESS"], or a nameserver line there`}}
}

// An answer is what became of a question to a server.
type answer struct {
	server noid.Upstream
	msg    *dns.Msg
	err    error
}

// ask asks all servers at once.
func ask(ctx context.Context, servers []noid.Upstream, name string, qtype uint16) []answer {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answers := make([]answer, len(servers))
	var wg sync.WaitGroup
	client := dns.Client{Net: "udp", Timeout: answerTime}
	for i, s := range servers {
		a := &answers[i]
		a.server = s
		if s.Proto != noid.ProtoUDP {
			wg.Go(func() { // ends with ctx at the latest
				m, err := s.Ask(ctx, name, qtype, nil)
				a.msg, a.err = judge(ctx, m, err)
			})
			continue
		}
		conn, err := client.DialContext(ctx, s.Addr.String())
		if err != nil {
			a.err = cause(err)
			continue
		}
		wg.Go(func() { // ends with ctx at the latest
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Conn.Close() })
			defer stop()
			a.msg, a.err = exchange(ctx, client, conn, name, qtype)
		})
	}
	wg.Wait()
	return answers
}

func exchange(ctx context.Context, client dns.Client, conn *dns.Conn, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(1232, qtype == dns.TypeDNSKEY) // DO: signatures come along (RFC 4035 section 3.2.1)
	q.AuthenticatedData = true                // asks for AD in the answer (RFC 6840 section 5.7)
	m, _, err := client.ExchangeWithConnContext(ctx, q, conn)
	return judge(ctx, m, err)
}

// judge turns an answer of no use into an error.
func judge(ctx context.Context, m *dns.Msg, err error) (*dns.Msg, error) {
	switch {
	case err != nil && (ctx.Err() != nil || os.IsTimeout(err)):
		return nil, fmt.Errorf("no answer within %v", answerTime)
	case err != nil:
		return nil, cause(err)
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, errors.New("answers " + dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

// finding judges a server that answers.
func (a answer) finding(c *config.Common, name string) Finding {
	channel := a.channel()
	seen := fmt.Sprintf("%s answers; %s", a.label(), channel)
	switch {
	case a.msg.Rcode == dns.RcodeNameError && c.Name != "":
		return Finding{resolverCheck, Warn, seen + "; it knows no " + name, []string{"publish all addresses of this host under that name: peers permit no others"}}
	case a.server.TrustAD && !a.server.Believed():
		return Finding{resolverCheck, Warn, seen + ", so trust-ad is not believed", []string{"run a validating resolver on this host, or name one that is asked over TLS in dns.upstream"}}
	case c.DNS.Trust.Trust == noid.Strict && !c.DNS.Validates() && !a.validated():
		return Finding{resolverCheck, Warn, seen + `; with dns.trust = "strict" no second address of a peer is taken`,
			[]string{"run a validating resolver on this host, with nameserver 127.0.0.1 and options trust-ad in resolv.conf, or list the peers in dns.hosts"}}
	}
	return Finding{resolverCheck, OK, seen, nil}
}

// label is how the server is named to the operator.
func (a answer) label() string {
	if a.server.Proto == noid.ProtoUDP {
		return a.server.Addr.String()
	}
	return a.server.String()
}

// signed reports whether signatures came along, or would have had there been
// room for them. Servers that are asked over TLS are taken to know DNSSEC.
func (a answer) signed() bool {
	if a.err != nil || a.server.Proto != noid.ProtoUDP {
		return a.err == nil
	}
	isSig := func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG }
	return a.msg.Truncated || slices.ContainsFunc(a.msg.Answer, isSig)
}

func (a answer) validated() bool { return a.server.Believed() && a.msg.AuthenticatedData }

// channel says how far answers can be trusted.
func (a answer) channel() string {
	switch {
	case a.validated():
		return "validated by a server that is believed"
	case a.server.Proto == noid.ProtoTLS || a.server.Proto == noid.ProtoHTTPS:
		return "in secret, not validated"
	case a.server.Addr.Addr().IsLoopback():
		return "on this host, not validated"
	}
	return "in clear over the network, where answers can be forged"
}
