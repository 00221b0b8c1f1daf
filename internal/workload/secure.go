package workload

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"
)

// credentials are a self-made certificate, for both ends.
type credentials struct {
	certificate tls.Certificate
	roots       *x509.CertPool
}

// server is the configuration of an end that accepts.
func (c credentials) server() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{c.certificate}, ClientCAs: c.roots}
}

// client is the configuration of an end that dials.
func (c credentials) client() *tls.Config {
	return &tls.Config{RootCAs: c.roots, ServerName: "server.example"}
}

func newCredentials(t *testing.T) credentials {
	t.Helper()
	c, err := makeCredentials()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var makeCredentials = sync.OnceValues(func() (c credentials, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "server.example"},
		DNSNames:     []string{"server.example"},
		NotBefore:    time.Unix(0, 0), // in a bubble it is the year 2000
		NotAfter:     time.Now().AddDate(100, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return c, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return c, err
	}
	c.certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	c.roots = x509.NewCertPool()
	c.roots.AddCert(leaf)
	return c, nil
})
