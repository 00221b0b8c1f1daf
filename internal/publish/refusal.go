package publish

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ErrChanged says that the records were no longer those that the plan was made
// for. Nothing has been changed.
var ErrChanged = errors.New("the records have changed since they were read: run it again")

// judge returns what an answer to an update means, and what to do about it.
func (p *Primary) judge(m *dns.Msg, err error, now time.Time) error {
	if m == nil {
		return fmt.Errorf("update of %s at %v: %w", p.Zone, p.Addr, err)
	}
	if why := p.refusal(m, now); why != nil {
		return fmt.Errorf("update of %s at %v: %w", p.Zone, p.Addr, why)
	}
	switch {
	case err != nil:
		return fmt.Errorf("update of %s at %v: the answer cannot be believed: %w", p.Zone, p.Addr, err)
	case p.Key != nil && m.IsTsig() == nil:
		// RFC 8945 section 5.3: an unsigned answer to a signed request is none.
		return fmt.Errorf("update of %s at %v: the answer is not signed, so somebody else may have sent it: see whether the records are there", p.Zone, p.Addr)
	}
	return nil
}

// refusal explains an answer that says no.
func (p *Primary) refusal(m *dns.Msg, now time.Time) error {
	key := "without a key"
	if p.Key != nil {
		key = "with key " + strings.TrimSuffix(p.Key.Name, ".")
	}
	if t := m.IsTsig(); t != nil && t.Error != 0 {
		return p.tsigRefusal(t, now)
	}
	switch m.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeYXDomain, dns.RcodeYXRrset, dns.RcodeNXRrset, dns.RcodeNameError:
		return fmt.Errorf("%s: %w", dns.RcodeToString[m.Rcode], ErrChanged)
	case dns.RcodeRefused:
		return fmt.Errorf("REFUSED: the server takes no update of these records %s: allow it there (BIND: update-policy { grant KEY subdomain NAME; }; in the zone; Knot DNS: an acl with key and action: update), or name a key with --key", key)
	case dns.RcodeNotAuth:
		return fmt.Errorf("NOTAUTH: the server has no authority for %s, or does not know who asks %s: name the zone's primary with --server, or the right key with --key", p.Zone, key)
	case dns.RcodeNotZone:
		return fmt.Errorf("NOTZONE: a name is outside of %s: name the primary of its zone with --server", p.Zone)
	case dns.RcodeNotImplemented:
		return errors.New("NOTIMP: the server knows no dynamic updates: enable them there, or enter the records by hand")
	case dns.RcodeFormatError:
		return errors.New("FORMERR: the server does not understand the update: an old one may not know records of type SVCB")
	case dns.RcodeServerFailure:
		return errors.New("SERVFAIL: the server could not write the zone: see its log (often it must not write its zone file or journal)")
	}
	return fmt.Errorf("%s: see the server's log", dns.RcodeToString[m.Rcode])
}

// tsigRefusal explains why a signature was not taken (RFC 8945 section 5.2).
func (p *Primary) tsigRefusal(t *dns.TSIG, now time.Time) error {
	name := strings.TrimSuffix(t.Hdr.Name, ".")
	switch t.Error {
	case dns.RcodeBadKey:
		return fmt.Errorf("BADKEY: the server knows no key %s with algorithm %s: both must be the same there, and with Knot DNS an acl of the zone must have the key, with action: update", name, strings.TrimSuffix(t.Algorithm, "."))
	case dns.RcodeBadSig:
		return fmt.Errorf("BADSIG: the server has another secret for key %s: copy the key file again", name)
	case dns.RcodeBadTime:
		return fmt.Errorf("BADTIME: %s, and %d s are allowed: set the clocks (timedatectl set-ntp true)", clocks(t, now), fudge)
	case dns.RcodeBadTrunc:
		return fmt.Errorf("BADTRUNC: the server wants longer signatures with key %s", name)
	}
	return fmt.Errorf("TSIG error %d with key %s: see the server's log", t.Error, name)
}

// clocks says how far the clocks differ, as far as the server tells: its time
// is in the answer's other data (RFC 8945 section 5.2.3).
func clocks(t *dns.TSIG, now time.Time) string {
	b, err := hex.DecodeString(t.OtherData)
	if err != nil || len(b) != 6 {
		return "the clocks of this host and of the server differ"
	}
	var seconds int64
	for _, x := range b {
		seconds = seconds<<8 | int64(x)
	}
	server := time.Unix(seconds, 0).UTC()
	return fmt.Sprintf("the server's clock says %s and this host's %s, %v apart",
		server.Format(time.RFC3339), now.UTC().Format(time.RFC3339), now.Sub(server).Abs().Round(time.Second))
}
