// Package wire reads and writes SCTP packets (RFC 9260 section 3). It keeps
// no state and has no policy.
//
// Readers are views: they check lengths first, borrow the packet, do not
// allocate, and report false for what is malformed; no input makes them
// panic. Writers append to a slice and return it, padding included.
// [Text] gives a packet a stable form on one line, for traces and tests, and
// [ParseText] reads it back.
package wire
