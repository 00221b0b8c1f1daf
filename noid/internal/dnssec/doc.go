// Package dnssec tells whether what a DNS server said is what the owner of
// the zone published (RFC 4033 to 4035, 5155, 6840). It has no sockets: a
// [Validator] is handed an answer and fetches the DS and DNSKEY records that
// lead to it through a function of the caller's.
//
// Every server on the way, the one that is asked included, is taken for an
// enemy. It can always make an answer bogus, that is withhold it. It must not be able
// to make one secure that the owner did not sign, nor one insecure that
// the owner did: therefore a zone counts as unsigned only when the zone above
// it proves that, link by link from a trust anchor. Nor must it be able to make
// the validator work for long: limits.go.
//
//	anchor -> DNSKEY of the root -> DS of net -> DNSKEY of net -> DS of
//	example.net -> DNSKEY of example.net -> the records
//
// From the anchor down, each label costs one question for a DS record, which says
// whether a zone begins there and whether it is signed. What was found is kept as
// long as its TTLs and signatures allow, so a second answer of a zone costs none.
//
// Not done: algorithms 5 and 7, whose hash is SHA-1, count as unsupported, so
// zones that have no other are insecure, as RFC 9905 section 2 wants it. Trust
// anchors do not follow RFC 5011. Answers to ANY and RRSIG are never secure.
package dnssec
