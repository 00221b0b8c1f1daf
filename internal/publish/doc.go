// Package publish keeps the records of a host in the DNS current: its A and
// AAAA records and the capability record at _mhsctp.NAME, by dynamic update
// (RFC 2136) that is authenticated with TSIG (RFC 8945).
//
// [Primary] is the server that takes updates. [Present] is what it has at a
// name, [Want] what should be there, and a [Plan] the way from one to the
// other; it is empty when there is nothing to do. A [Watcher] goes that way
// again whenever the addresses of the host change.
//
// # Whose records these are
//
// A name may have addresses that other hosts or people put there. What a host
// has published is written down beside the capability record, in a TXT record
// of its own that begins with "published-by=mh:" and the host's [HostID], and
// that and the addresses the host has now are all that its plans remove or
// replace. What two hosts have published stays as long as one of them wants it.
// The memory is in the zone and not in a file, so that it is changed by the same
// update as what it is about, and is neither lost nor restored without it.
//
// Every update has the records as they were read for its prerequisites (RFC
// 2136 section 2.4.2): if they have changed since, nothing happens, and all is
// read again. So hosts that publish at once do not lose what the others did.
//
// A capability record that was entered by hand stays, and no other is
// published beside it.
package publish
