package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/template"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/publish"
	"github.com/sctpmh/mh/noid"
)

//go:embed init.toml
var initText string

var initTemplate = template.Must(template.New("init.toml").Parse(initText))

// defaultFile is what init writes when no file is named.
const defaultFile = "gw.toml"

func initCommand() *cobra.Command {
	settings := func(g *config.Gateway) []config.Setting {
		return slices.DeleteFunc(g.Settings(), func(s config.Setting) bool {
			return !slices.Contains([]string{"name", "local", "udp-port", "service", "dns"}, s.Flag)
		})
	}
	cmd := &cobra.Command{
		Use:   "init --name NAME",
		Short: "write a configuration to begin with, and say what to publish in the DNS",
		Args:  daemon.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := cmd.Flags().GetString("config")
			if err != nil {
				return err
			}
			g := config.DefaultGateway()
			if err := config.Override(cmd.Flags(), settings(g)); err != nil {
				return &daemon.UsageError{Err: err}
			}
			if g.Name == "" {
				return &daemon.UsageError{Err: errors.New("--name: want the name by which peers know this gateway, such as gw.example.net")}
			}
			return initialise(cmd.OutOrStdout(), cmd.ErrOrStderr(), cmp.Or(file, defaultFile), g)
		},
	}
	config.AddFlags(cmd.Flags(), settings(config.DefaultGateway()))
	return cmd
}

// initialise writes the configuration, unless there is one, and says what to
// do next. What goes to out are lines of a zone file, to be taken as they are;
// what people are told beside goes to remarks.
func initialise(out, remarks io.Writer, file string, g *config.Gateway) error {
	names, err := resolver(g)
	if err != nil {
		return err
	}
	defer names.Close()
	n := noid.Name(dns.Fqdn(string(g.Name)))
	var named []netip.Addr
	for _, a := range g.Transport.Local {
		named = append(named, a.Addr)
	}
	addrs, err := publish.OfHost(named, func(a netip.Addr) string { return names.Unfit(n, a) })
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := initTemplate.Execute(&text, g); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := create(file, text.String()); err != nil {
		return err
	}
	want := &publish.Want{Name: n, Addrs: addrs.Addrs, Cap: publish.Capability(n, g.Transport.UDPPort), TTL: publish.SettledTTL}
	if err := printRecords(out, want); err != nil {
		return err
	}
	fmt.Fprintf(remarks, "\n%s is written; the lines above are for the zone of %s.\n", file, g.Name)
	printAddresses(remarks, addrs)
	fmt.Fprintf(remarks, `
Next:
  1. publish the records: mh dns publish %[1]s -c %[2]s --key KEYFILE --apply, or by hand
  2. let UDP port %[3]d in at the firewall
  3. name what peers may reach in %[2]s: services, egress
  4. look for what is in the way of a second path: mh doctor -c %[2]s
  5. start the gateway: mh-gw -c %[2]s
  6. see what peers will find: mh dns %[1]s
`, g.Name, file, g.Transport.UDPPort)
	return nil
}

func resolver(g *config.Gateway) (*noid.Resolver, error) {
	c, err := daemon.NamesConfig(&g.Common)
	if err != nil {
		return nil, err
	}
	return noid.New(c)
}

// create writes a file that is not there yet.
func create(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is left as it is: name another file with -c, or remove it", file)
	}
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// printRecords prints what the DNS has to have of the gateway: its own records,
// and as comments those of other names and zones.
func printRecords(out io.Writer, want *publish.Want) error {
	if err := want.WriteZone(out); err != nil {
		return err
	}
	fmt.Fprintln(out, "\n; For each name whose servers are behind the gateway, here www:")
	fmt.Fprintf(out, "; %s\n", strings.Replace(zoneLine(want.Cap, want.Name), "_mhsctp."+string(want.Name), "_mhsctp.www", 1))
	if len(want.Addrs) > 0 {
		fmt.Fprintln(out, "\n; Reverse records, which the providers enter:")
	}
	for _, a := range want.Addrs {
		arpa, err := dns.ReverseAddr(a.String())
		if err != nil {
			return fmt.Errorf("reverse record of %v: %w", a, err)
		}
		fmt.Fprintf(out, "; %s %d IN PTR %s\n", arpa, want.TTL, string(want.Name)) // with the dot at the end, or it would be a name below the reverse zone
	}
	return nil
}

// printAddresses says which addresses are not among the records, and what is
// missing for a second path.
func printAddresses(out io.Writer, addrs publish.Addresses) {
	for _, a := range addrs.Left {
		fmt.Fprintf(out, "%v is left out: %s\n", a.Addr, a.Why)
	}
	const advice = "a second path takes one address of each uplink. Behind a translator those are its outer ones: enter them by hand, or use mh dns publish --address."
	switch len(addrs.Addrs) {
	case 0:
		fmt.Fprintln(out, "No address is among them, and "+advice)
	case 1:
		fmt.Fprintln(out, "One address only is among them, and "+advice)
	}
}

func zoneLine(c *noid.Capability, n noid.Name) string {
	return strings.Join(strings.Fields(c.SVCB(n, publish.SettledTTL).String()), " ")
}
