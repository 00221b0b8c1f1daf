// Package nameservers has tests of package noid and of internal/publish with
// the name servers that people run: Knot DNS and BIND with authority for zones,
// signed and updated, and Unbound, which validates. They run where those are
// installed and namespaces may be made.
package nameservers
