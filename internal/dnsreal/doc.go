// Package dnsreal starts name servers that others wrote, for tests: Knot DNS
// and BIND as authoritative servers that take dynamic updates, and others with a
// configuration of the test's own by [Start]. They run in the
// foreground on an address and in a directory of the test's own, and end with
// [Server.Stop].
package dnsreal
