package dnstest

import (
	"crypto"
	"time"

	"github.com/miekg/dns"
)

// A Key signs zones.
type Key struct {
	Algorithm uint8
	Flags     uint16

	public *dns.DNSKEY
	signer crypto.Signer
	hidden bool // the zone above has no DS record of it
	silent bool // signs nothing but the zone's keys, if those
}

// NewKey makes a key.
func NewKey(algorithm uint8) *Key {
	bits := map[uint8]int{dns.RSASHA1: 1024, dns.RSASHA256: 2048, dns.RSASHA512: 2048, dns.ECDSAP256SHA256: 256, dns.ECDSAP384SHA384: 384, dns.ED25519: 256}[algorithm]
	k := &Key{Algorithm: algorithm, Flags: dns.ZONE | dns.SEP}
	k.public = &dns.DNSKEY{Hdr: header(".", dns.TypeDNSKEY, 300), Flags: k.Flags, Protocol: 3, Algorithm: algorithm}
	private, err := k.public.Generate(bits)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	k.signer = private.(crypto.Signer)
	return k
}

// Hidden returns the key as one that the zone above does not vouch for: a zone
// signing key.
func (k *Key) Hidden() *Key {
	c := *k
	c.hidden = true
	return &c
}

// Silent returns the key as one that is published and signs no records: the
// next one of a rollover, or with a DS record a key signing key.
func (k *Key) Silent() *Key {
	c := *k
	c.silent = true
	return &c
}

// Flagged returns the key with other flags.
func (k *Key) Flagged(flags uint16) *Key {
	c, p := *k, *k.public
	p.Flags = flags
	c.public, c.Flags = &p, flags
	return &c
}

func (k *Key) record(zone string) *dns.DNSKEY {
	p := *k.public
	p.Hdr.Name = zone
	return &p
}

// Tag returns the key's tag.
func (k *Key) Tag() uint16 { return k.public.KeyTag() }

// DS returns the record that vouches for the key as one of a zone.
func (k *Key) DS(zone string, digest uint8) *dns.DS { return k.record(zone).ToDS(digest) }

// Sign signs an RRset for a zone.
func (k *Key) Sign(set []dns.RR, zone string, inception, expiration time.Time) *dns.RRSIG {
	sig := &dns.RRSIG{
		Algorithm: k.Algorithm, KeyTag: k.Tag(), SignerName: zone,
		Inception: uint32(inception.Unix()), Expiration: uint32(expiration.Unix()),
	}
	sig.Hdr = header(set[0].Header().Name, dns.TypeRRSIG, set[0].Header().Ttl)
	if err := sig.Sign(k.signer, set); err != nil {
		panic("BUG: " + err.Error())
	}
	return sig
}
