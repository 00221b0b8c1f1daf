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
			return initialise(cmd.OutOrStdout(), cmp.Or(file, defaultFile), g)
		},
	}
	config.AddFlags(cmd.Flags(), settings(config.DefaultGateway()))
	return cmd
}

// initialise writes the configuration, unless there is one, and says what to
// do next.
func initialise(out io.Writer, file string, g *config.Gateway) error {
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
	fmt.Fprintf(out, "%s is written.\n\n", file)
	if err := printRecords(out, n, g.Transport.UDPPort, addrs); err != nil {
		return err
	}
	fmt.Fprintf(out, `
Next:
  1. publish these records: mh dns publish %[1]s -c %[2]s --key KEYFILE --apply, or by hand
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

// printRecords prints what the DNS has to have of the gateway.
func printRecords(out io.Writer, n noid.Name, port uint16, addrs publish.Addresses) error {
	want := publish.Want{Name: n, Addrs: addrs.Addrs, Cap: publish.Capability(n, port), TTL: publish.SettledTTL}
	fmt.Fprintf(out, "Records of %v:\n", n)
	if err := want.WriteZone(out); err != nil {
		return err
	}
	for _, a := range addrs.Left {
		fmt.Fprintf(out, "! %v is left out: %s\n", a.Addr, a.Why)
	}
	if len(addrs.Addrs) < 2 {
		fmt.Fprintf(out, "! %d to publish, and a second path takes one address of each uplink. Behind a translator those are its outer ones: enter them, or use mh dns publish --address.\n", len(addrs.Addrs))
	}
	if len(addrs.Addrs) > 0 {
		fmt.Fprintln(out, "\nReverse records, which the providers enter, for those who ask for an address:")
	}
	for _, a := range addrs.Addrs {
		if arpa, err := dns.ReverseAddr(a.String()); err == nil {
			fmt.Fprintf(out, "%s %d IN PTR %s\n", arpa, want.TTL, n)
		}
	}
	fmt.Fprintln(out, "\nFor each name NAME whose servers are behind the gateway:")
	fmt.Fprintln(out, strings.Replace(zoneLine(want.Cap, n), "_mhsctp."+string(n), "_mhsctp.NAME.", 1))
	return nil
}

func zoneLine(c *noid.Capability, n noid.Name) string {
	return strings.Join(strings.Fields(c.SVCB(n, publish.SettledTTL).String()), " ")
}
