package tcpemu_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

// hosts is a resolver that knows where names are, and believes nobody. Programs
// ask the DNS, as package noid does.
type hosts map[string][]netip.AddrPort

func (h hosts) Resolve(_ context.Context, name string, _ uint16) (tcpemu.Targets, error) {
	if h[name] == nil {
		return tcpemu.Targets{Reason: "not in the list of hosts"}, nil
	}
	return tcpemu.Targets{MH: []tcpemu.Endpoint{{
		Name:     name,
		Remotes:  h[name],
		Identity: tcpemu.Identity{Name: name, Binding: "static"},
	}}}, nil
}

func (h hosts) Verify(context.Context, netip.Addr, string, []netip.Addr, bool) (tcpemu.Identity, []netip.Addr, error) {
	return tcpemu.Identity{Binding: "none"}, nil, nil
}

// endpoint is a host's end of its associations. One with several uplinks names
// an address of each.
func endpoint() *sctpmh.Endpoint {
	local := netip.MustParseAddrPort("127.0.0.1:0")
	e, err := sctpmh.Listen([]netip.AddrPort{local}, &sctpmh.Config{Adaptation: tcpemu.AdaptationCode})
	if err != nil {
		log.Fatal(err)
	}
	return e
}

// loopback is a listener called server.example and a dialer that knows it.
func loopback() (l *tcpemu.Listener, d *tcpemu.Dialer, done func()) {
	server, client := endpoint(), endpoint()
	l, err := tcpemu.Listen(server, &tcpemu.ListenConfig{Name: "server.example"})
	if err != nil {
		log.Fatal(err)
	}
	d = &tcpemu.Dialer{Endpoint: client, Resolver: hosts{"server.example": server.Addrs()}}
	return l, d, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		d.Close(ctx)
		l.Shutdown(ctx)
		client.Close()
		server.Close()
	}
}

// An echo server and its client. The client ends its direction first, and
// still gets the answer.
func Example() {
	server, client := endpoint(), endpoint()
	defer server.Close()
	defer client.Close()

	l, err := tcpemu.Listen(server, &tcpemu.ListenConfig{Name: "server.example"})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with one connection
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()

	d := &tcpemu.Dialer{Endpoint: client, Resolver: hosts{"server.example": server.Addrs()}}
	c, err := d.DialContext(context.Background(), "mh", "server.example:7")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintln(c, "hello", c.RemoteAddr())
	c.(*tcpemu.Conn).CloseWrite()
	io.Copy(os.Stdout, c)

	// Output: hello server.example:7
}

// A server and a client of net/http. Only the listener and the dial function
// are other ones.
func Example_http() {
	l, d, done := loopback()
	defer done()

	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "this is %s of %s", r.URL.Path, r.Host)
	})}
	go server.Serve(l) // ends when the server is closed
	defer server.Close()

	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://server.example/index.html")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s: %s, %v\n", resp.Status, body, err)

	// Output: 200 OK: this is /index.html of server.example, <nil>
}

// TLS above a connection, as above one of TCP. What is below it is not secret
// in this version.
func Example_tls() {
	l, d, done := loopback()
	defer done()

	certificate, roots := selfSigned("server.example")
	go func() { // ends with one connection
		c, err := tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}}).Accept()
		if err != nil {
			return
		}
		defer c.Close()
		line, _ := bufio.NewReader(c).ReadString('\n')
		fmt.Fprint(c, "the server read: ", line)
	}()

	c, err := d.DialContext(context.Background(), "mh", "server.example:443")
	if err != nil {
		log.Fatal(err)
	}
	secure := tls.Client(c, &tls.Config{ServerName: "server.example", RootCAs: roots})
	defer secure.Close()
	fmt.Fprintln(secure, "a secret")
	io.Copy(os.Stdout, secure)
	fmt.Println(tls.VersionName(secure.ConnectionState().Version))

	// Output:
	// the server read: a secret
	// TLS 1.3
}

// selfSigned is a certificate that vouches for itself.
func selfSigned(name string) (tls.Certificate, *x509.CertPool) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, roots
}

// A command over SSH. The session goes on when the laptop that it was made
// from changes from Wi-Fi to a phone.
func Example_ssh() {
	l, d, done := loopback()
	defer done()

	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	hostKey, err := ssh.NewSignerFromKey(private)
	if err != nil {
		log.Fatal(err)
	}
	go func() { // ends with one client
		c, err := l.Accept()
		if err != nil {
			return
		}
		serveGreeting(c, hostKey)
	}()

	c, err := d.DialContext(context.Background(), "mh", "server.example:22")
	if err != nil {
		log.Fatal(err)
	}
	conn, chans, reqs, err := ssh.NewClientConn(c, "server.example:22", &ssh.ClientConfig{
		User: "gopher", HostKeyCallback: ssh.FixedHostKey(hostKey.PublicKey()),
	})
	if err != nil {
		log.Fatal(err)
	}
	client := ssh.NewClient(conn, chans, reqs)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	out, err := session.Output("greet")
	fmt.Printf("%s, %v\n", out, err)

	// Output: hello gopher, <nil>
}

// serveGreeting is an SSH server that lets everybody in and greets them,
// whatever command they ask for.
func serveGreeting(c net.Conn, hostKey ssh.Signer) {
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(hostKey)
	conn, chans, reqs, err := ssh.NewServerConn(c, config)
	if err != nil {
		c.Close()
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(reqs) // ends with the client
	for n := range chans {
		ch, reqs, err := n.Accept()
		if err != nil {
			return
		}
		for r := range reqs {
			r.Reply(r.Type == "exec", nil)
			if r.Type == "exec" {
				fmt.Fprint(ch, "hello ", conn.User())
				ch.SendRequest("exit-status", false, make([]byte, 4)) // 0: it went well
				ch.Close()
			}
		}
	}
}
