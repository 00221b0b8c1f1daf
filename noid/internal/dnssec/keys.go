package dnssec

import (
	"strings"

	"github.com/miekg/dns"
)

// supported reports whether signatures of an algorithm can be verified.
// SHA-1's are not: RFC 9905 section 2.
func supported(algorithm uint8) bool {
	switch algorithm {
	case dns.RSASHA256, dns.RSASHA512, dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519:
		return true
	}
	return false
}

// supportedDigest reports whether a DS record's digest can be computed. SHA-1's
// may be: to forge one takes a second preimage, and without it the zones
// that have no other would count as unsigned.
func supportedDigest(digest uint8) bool {
	return digest == dns.SHA1 || digest == dns.SHA256 || digest == dns.SHA384
}

// usable returns the DS records that can lead to a key. None: the zone is
// insecure (RFC 4035 section 5.2, RFC 6840 section 5.2).
func usable(all []*dns.DS) (out []*dns.DS) {
	strong := false
	for _, ds := range all {
		if supported(ds.Algorithm) && supportedDigest(ds.DigestType) {
			out = append(out, ds)
			strong = strong || ds.DigestType != dns.SHA1
		}
	}
	if !strong {
		return out
	}
	n := 0
	for _, ds := range out { // RFC 4509 section 3: SHA-1 is not looked at beside others
		if ds.DigestType != dns.SHA1 {
			out[n] = ds
			n++
		}
	}
	return out[:n]
}

// zoneKeys returns the keys of a DNSKEY RRset that may sign a zone (RFC 4034
// section 2.1): zone keys of protocol 3 that are not revoked (RFC 5011 section 2.1).
func zoneKeys(set *rrset) (keys []*dns.DNSKEY) {
	for _, rr := range set.rrs {
		k, ok := rr.(*dns.DNSKEY)
		if ok && len(keys) < maxKeys && k.Flags&dns.ZONE != 0 && k.Flags&dns.REVOKE == 0 && k.Protocol == 3 && supported(k.Algorithm) {
			keys = append(keys, k)
		}
	}
	return keys
}

// entryKeys returns the keys that DS records vouch for.
func entryKeys(keys []*dns.DNSKEY, all []*dns.DS) (entries []*dns.DNSKEY) {
	for _, k := range keys {
		tag := k.KeyTag()
		for _, ds := range all[:min(len(all), maxDS)] {
			if ds.KeyTag != tag || ds.Algorithm != k.Algorithm {
				continue
			}
			if d := k.ToDS(ds.DigestType); d != nil && strings.EqualFold(d.Digest, ds.Digest) {
				entries = append(entries, k)
				break
			}
		}
	}
	return entries
}

// work is what the validation of one message may still cost.
type work struct {
	verifications int
	hashes        int
}

func newWork() *work { return &work{verifications: maxVerifications, hashes: maxHashes} }

// verify looks for a signature of a zone over an RRset that one of the zone's
// keys made (RFC 4035 section 5.3.1) and that holds now. On success the TTLs of the set are
// limited; else the result says why there is none.
func (v *Validator) verify(w *work, set *rrset, zone string, keys []*dns.DNSKEY) (*dns.RRSIG, Result) {
	why := bogus(dns.ExtendedErrorCodeRRSIGsMissing, "%v is not signed by %s, which is signed", set, zone)
	for _, sig := range set.sigs[:min(len(set.sigs), maxSignatures)] {
		if dns.CanonicalName(sig.SignerName) != zone || int(sig.Labels) > ownLabels(set.name) {
			continue
		}
		if !supported(sig.Algorithm) {
			why = bogus(dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm, "%v is signed with %s only", set, algorithmName(sig.Algorithm))
			continue
		}
		now := v.Now()
		if early, late := validAt(sig, now); late {
			why = bogus(dns.ExtendedErrorCodeSignatureExpired, "the signature over %v by key %d of %s held until %s", set, sig.KeyTag, zone, dns.TimeToString(sig.Expiration))
			continue
		} else if early {
			why = bogus(dns.ExtendedErrorCodeSignatureNotYetValid, "the signature over %v by key %d of %s holds from %s", set, sig.KeyTag, zone, dns.TimeToString(sig.Inception))
			continue
		}
		if why = w.try(set, sig, zone, keys); why.Status == Secure {
			set.limitTTL(sig, now)
			return sig, secure
		}
	}
	return nil, why
}

// try verifies one signature with the keys that have its tag.
func (w *work) try(set *rrset, sig *dns.RRSIG, zone string, keys []*dns.DNSKEY) Result {
	tried := 0
	for _, k := range keys {
		if k.Algorithm != sig.Algorithm || k.KeyTag() != sig.KeyTag {
			continue
		}
		if tried++; tried > maxSameTag {
			return bogus(dns.ExtendedErrorCodeDNSBogus, "more than %d keys of %s have the tag %d", maxSameTag, zone, sig.KeyTag)
		}
		if w.verifications == 0 {
			return bogus(dns.ExtendedErrorCodeDNSBogus, "the answer needs more than %d signatures tried", maxVerifications)
		}
		w.verifications--
		if sig.Verify(k, set.rrs) == nil {
			return secure
		}
	}
	if tried == 0 {
		return bogus(dns.ExtendedErrorCodeDNSKEYMissing, "%v is signed with key %d, which %s does not have", set, sig.KeyTag, zone)
	}
	return bogus(dns.ExtendedErrorCodeDNSBogus, "the signature over %v by key %d of %s does not fit the records", set, sig.KeyTag, zone)
}

func algorithmName(a uint8) string {
	if s := dns.AlgorithmToString[a]; s != "" {
		return s
	}
	return "an unknown algorithm"
}
