// Package noid answers one question: is this address really that host, and
// may it be used? A host is its DNS name; an address is only a locator, a
// place where the host is for the time being ("Multihoming without IP
// Identifiers", draft-nordmark-multi6-noid). Which locators a name has is
// learnt from the DNS and from a static file, filtered, and checked.
//
// [Resolver.Resolve] turns a name into hosts that speak mh, each a [Set] of
// locators, and into the addresses of plain TCP. [Resolver.Verify] turns an
// observed address and a claimed name into a Set. [Set.Permit] says which
// addresses of an association's peer may be probed; that they are the peer's
// is proved only by the nonce which they return (package sctpmh). An address
// that an application was told by its peer and asks for leads back to the
// peer's name, if it was among the locators of an answer and its reverse
// record agrees: [Resolver.Referral].
//
// # What is believed
//
// Locators may only be added for a name whose forward records contain the
// address that completed the handshake: whoever controls neither the name nor
// the address gains nothing by claiming it. How the tie was found is the
// Set's Binding, over which way the records came its Channel; the trust mode
// of the resolver says what is enough.
//
// In mode [Strict], or where [DNSSEC] says so, answers are validated from the
// keys of the root zone down, whoever gave them: one is validated, or its zone
// is proven to be unsigned, or it is a [BogusError] and counts as no answer.
// What that means for hosts whose capability record does not come is in
// downgrade.go.
//
// # Time
//
// A Set is a snapshot. [Resolver.Watch] tells what becomes of a name while
// there are associations with its host: answers add members and withdraw them,
// and silence does neither. While no server answers, old answers stand for new
// ones for a day (RFC 8767), but of their members only those count that an
// association has confirmed before ([Resolver.Reached]): the others may be
// somebody else's by now. What one network said is not believed on another.
//
// Limits on what names, servers and peers can make a resolver do are in
// limits.go, each with what it stops.
package noid
