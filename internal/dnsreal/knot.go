package dnsreal

import (
	"fmt"
	"os/exec"
	"strings"
)

// Knot starts Knot DNS.
func Knot(o Options) (*Server, error) {
	zones, err := o.writeZones()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  rundir: %q\n  listen: %v@%d\n", o.Dir, o.Addr.Addr(), o.Addr.Port())
	fmt.Fprintf(&b, "database:\n  storage: %q\n", o.Dir)
	fmt.Fprintf(&b, "log:\n  - target: stderr\n    any: info\n")
	if len(o.Keys) > 0 {
		b.WriteString("key:\n")
	}
	for name, secret := range o.Keys {
		fmt.Fprintf(&b, "  - id: %s\n    algorithm: hmac-sha256\n    secret: %s\n", name, secret)
	}
	if len(o.Updaters) > 0 {
		fmt.Fprintf(&b, "acl:\n  - id: updaters\n    key: [%s]\n    action: update\n", strings.Join(o.Updaters, ", "))
	}
	b.WriteString("zone:\n")
	ready := []string{"server started"}
	for name, file := range zones {
		fmt.Fprintf(&b, "  - domain: %s\n    file: %q\n    zonefile-sync: -1\n    journal-content: none\n", name, file)
		if len(o.Updaters) > 0 {
			b.WriteString("    acl: updaters\n")
		}
		ready = append(ready, "["+name+".] loaded")
	}
	conf, err := o.write("knot.conf", b.String())
	if err != nil {
		return nil, err
	}
	return Start(exec.Command("knotd", "-c", conf), o.Start, ready...)
}
