package dnstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/miekg/dns"
)

// Certify makes a certificate for a name that holds until a time, and the
// authorities that a client has to know to take it.
func Certify(name string, until time.Time) (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    until.Add(-24 * time.Hour),
		NotAfter:     until,
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots, nil
}

// ServeTLS has the server answer over TLS too (RFC 7858), on an address such
// as "127.0.0.1:0", and returns that address and port.
func (s *Server) ServeTLS(addr string, cert tls.Certificate) (string, error) {
	l, err := tls.Listen("tcp", addr, &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		return "", err
	}
	d := &dns.Server{Listener: l, Handler: s}
	s.start(d)
	return l.Addr().String(), nil
}

// ServeHTTPS has the server answer over HTTPS too (RFC 8484), at the path
// /dns-query.
func (s *Server) ServeHTTPS(addr string, cert tls.Certificate) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /dns-query", s.serveHTTP)
	h := &http.Server{
		Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // clients that refuse the certificate are the point
	}
	s.wg.Go(func() { _ = h.ServeTLS(l, "", "") }) // ends when Close closes it
	s.stops = append(s.stops, h.Close)
	return l.Addr().String(), nil
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	const kind = "application/dns-message"
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, dns.MaxMsgSize))
	q := new(dns.Msg)
	if err != nil || r.Header.Get("Content-Type") != kind || q.Unpack(b) != nil {
		http.Error(w, "not a DNS message", http.StatusBadRequest)
		return
	}
	m := s.respond(r.Context(), q)
	if m == nil { // silent
		<-r.Context().Done()
		return
	}
	if b, err = m.Pack(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(b) // the asker has gone: nothing to do
}

// respond returns the answer to a query, when it is due; nil for none.
func (s *Server) respond(ctx context.Context, q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	if len(q.Question) != 1 {
		m.Rcode = dns.RcodeFormatError
		return m
	}
	fault := s.answer(m, q.Question[0])
	if fault.Silent {
		return nil
	}
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-ctx.Done():
			return nil
		}
	}
	fault.apply(m)
	return m
}
