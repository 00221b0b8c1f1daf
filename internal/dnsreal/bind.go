package dnsreal

import (
	"fmt"
	"os/exec"
	"strings"
)

// BIND starts BIND's named.
func BIND(o Options) (*Server, error) {
	zones, err := o.writeZones()
	if err != nil {
		return nil, err
	}
	on, off := "listen-on", "listen-on-v6 { none; };"
	if o.Addr.Addr().Is6() {
		on, off = "listen-on-v6", "listen-on { none; };"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "options {\n\tdirectory %q;\n\tpid-file none;\n\tsession-keyfile none;\n\t%s port %d { %v; };\n\t%s\n", o.Dir, on, o.Addr.Port(), o.Addr.Addr(), off)
	b.WriteString("\trecursion no;\n\tnotify no;\n\tdnssec-validation no;\n\tallow-transfer { none; };\n};\ncontrols { };\n")
	for name, secret := range o.Keys {
		fmt.Fprintf(&b, "key %q {\n\talgorithm hmac-sha256;\n\tsecret %q;\n};\n", name, secret)
	}
	for name, file := range zones {
		fmt.Fprintf(&b, "zone %q {\n\ttype primary;\n\tfile %q;\n", name, file)
		if len(o.Updaters) > 0 {
			b.WriteString("\tupdate-policy {\n")
			for _, key := range o.Updaters {
				fmt.Fprintf(&b, "\t\tgrant %s zonesub ANY;\n", key)
			}
			b.WriteString("\t};\n")
		}
		b.WriteString("};\n")
	}
	conf, err := o.write("named.conf", b.String())
	if err != nil {
		return nil, err
	}
	return Start(exec.Command("named", "-g", "-n", "1", "-c", conf), o.Start, "all zones loaded", "running")
}
