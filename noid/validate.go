package noid

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid/internal/dnssec"
)

// DNSSEC says whether answers are validated here, and from which keys on.
type DNSSEC struct {
	// Validate has all answers validated, or none. Nil: all if the trust mode is
	// [Strict]. Where nothing is validated, that mode believes only what a
	// trusted resolver vouches for with its AD bit.
	Validate *bool

	// Anchors are DS records in the form of zone files that are trusted beside the
	// root zone's, or, if one is for the root, in place of those.
	Anchors []string

	// Unsigned are zones that are not validated although the zones above them are
	// signed, such as internal ones that the public DNS does not know.
	Unsigned []Name
}

// A BogusError is an [Error] of kind ErrBogus: an answer came that the owner of the
// zone has not published, as far as anybody can tell.
type BogusError struct {
	Err *Error
	EDE uint16 // INFO-CODE of RFC 8914
}

func (e *BogusError) Error() string { return e.Err.Error() }

// Unwrap returns the Error.
func (e *BogusError) Unwrap() error { return e.Err }

// newValidator returns the validator of a resolver, nil if it has none.
func (r *Resolver) newValidator() (*dnssec.Validator, error) {
	c := &r.cfg.DNSSEC
	if c.Validate == nil && r.trust != Strict || c.Validate != nil && !*c.Validate {
		return nil, nil
	}
	var anchors []*dns.DS
	for _, s := range c.Anchors {
		ds, err := dnssec.ParseAnchor(s)
		if err != nil {
			return nil, err
		}
		anchors = append(anchors, ds)
	}
	var unsigned []string
	for _, n := range c.Unsigned {
		unsigned = append(unsigned, string(n))
	}
	fetch := func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
		m, _, err := r.servers[0](ctx, question{name, qtype})
		return m, err
	}
	return dnssec.New(anchors, unsigned, r.now, fetch), nil
}

// queryFlags are what the questions of a resolver need. With CD a validating
// server hands over what is bogus for it, so that the verdict is ours, with its reason.
func (r *Resolver) queryFlags() queryFlags {
	if r.validator != nil {
		return withDO | withCD
	}
	return 0
}

// validate says how trustworthy the way was that an answer came, or why it
// cannot be believed.
func (r *Resolver) validate(ctx context.Context, q question, m *dns.Msg, up Upstream) (Channel, error) {
	if r.validator == nil {
		return up.channel(m), nil
	}
	v := r.validator.Validate(ctx, q.name, q.qtype, m)
	switch v.Status {
	case dnssec.Secure:
		return ChanValidated, nil
	case dnssec.Insecure:
		return up.channel(m), nil
	}
	e := &Error{Step: q.String(), Upstream: up.Addr.String(), Kind: ErrBogus, Detail: fmt.Sprintf("%v; EDE %d", v, v.Code)}
	if v.Code == dns.ExtendedErrorCodeNoReachableAuthority { // nothing came, so nothing is forged
		e.Kind = ErrServer
		if errors.Is(v.Err, ErrTimeout) {
			e.Kind = ErrTimeout
		}
		return ChanPlain, e
	}
	r.log.Warn("an answer is bogus", "question", q.String(), "server", e.Upstream, "why", e.Detail)
	return ChanPlain, &BogusError{e, v.Code}
}
