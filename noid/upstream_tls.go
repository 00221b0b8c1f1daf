package noid

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// errUntrusted says that a server did not prove to be the one that is meant.
var errUntrusted = errors.New("its certificate is not to be trusted")

// secure makes a connection to a server a secret one, with a server that has a
// certificate for its name: the strict profile of RFC 8310 section 5. There is
// no falling back to less with this server.
func (u *upstreams) secure(ctx context.Context, c net.Conn, up Upstream) (net.Conn, error) {
	t := tls.Client(c, u.tlsConfig(up))
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, tlsError(up, err)
	}
	return t, nil
}

func (u *upstreams) tlsConfig(up Upstream) *tls.Config {
	return &tls.Config{
		ServerName: up.Name.String(),
		RootCAs:    u.roots,
		MinVersion: tls.VersionTLS12, // RFC 9325 section 3.1.1
	}
}

// tlsError tells a server that is not the right one from one that fails.
func tlsError(up Upstream, err error) error {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return fmt.Errorf("%w: %w: it must be one for %s, from an authority that this system knows", errUntrusted, cert.Err, up.Name)
	}
	return err
}
