package noid

import (
	"context"

	"github.com/miekg/dns"
)

// validate says how trustworthy the way was that an answer came, or why it
// cannot be believed.
func (r *Resolver) validate(_ context.Context, _ question, m *dns.Msg, up Upstream) (Channel, error) {
	return up.channel(m), nil
}
