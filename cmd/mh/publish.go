package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/publish"
	"github.com/sctpmh/mh/noid"
)

// publishFlags are the settings that decide what is published.
var publishFlags = []string{"local", "udp-port", "backend", "name", "dns", "trust", "hosts", "log-level", "log-format"}

// publication is what the command line says.
type publication struct {
	key, server, addresses, drain         string
	host                                  string
	drop                                  []string
	ttl                                   uint32
	txt, force, replace, private          bool
	apply, watch, withdraw, addressesOnly bool
}

func publishCommand(code *int) *cobra.Command {
	var o publication
	cmd := &cobra.Command{
		Use:   "publish [NAME]",
		Short: "keep the records of this host current: its addresses, and that it speaks mh",
		Long: "Compares what the DNS has of this host with what should be there and prints the difference; --apply sends it\n" +
			"to the zone's primary server as a dynamic update (RFC 2136), signed with --key (RFC 8945). Records of others at the\n" +
			"name stay, those that other hosts have published and those that were entered by hand. A second run sends nothing.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &daemon.UsageError{Err: fmt.Errorf("unknown argument %q: see mh dns publish --help", args[1])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := commandConfig(cmd, publishFlags)
			if err != nil {
				return &daemon.UsageError{Err: err}
			}
			p, err := o.publisher(cfg, args)
			if err != nil {
				return &daemon.UsageError{Err: err}
			}
			defer p.names.Close()
			p.cmd = cmd
			if o.watch {
				return p.keep(cmd.Context())
			}
			return p.once(cmd.Context())
		},
	}
	config.AddFlags(cmd.Flags(), only(config.DefaultGateway().Settings(), publishFlags))
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "file with the key that signs updates, of tsig-keygen or keymgr (default: unsigned)")
	f.StringVar(&o.server, "server", "", "ADDRESS or ADDRESS:PORT of the server that takes updates (default: the zone's primary)")
	f.StringVar(&o.addresses, "address", "", "addresses to publish in place of this host's own, such as those of a translator")
	f.StringVar(&o.drain, "drain", "", "addresses that this host will lose: peers are to forget them before")
	f.StringVar(&o.host, "host-id", "", "what tells this host from others that publish the name (default: derived from the machine-id, another for each name)")
	f.StringSliceVar(&o.drop, "drop", nil, "remove what the host with this id has published, which is gone for good")
	f.Uint32Var(&o.ttl, "ttl", publish.SettledTTL, "TTL of the records, in seconds")
	f.BoolVar(&o.txt, "txt", false, "publish the capability as TXT too, for servers on the way that know no SVCB")
	f.BoolVar(&o.addressesOnly, "addresses-only", false, "publish no capability record: for a host that is not called, or several hosts of one name")
	f.BoolVar(&o.force, "force", false, "replace a capability record of the name that was entered by hand")
	f.BoolVar(&o.replace, "replace", false, "remove all that others have published at the name")
	f.BoolVar(&o.private, "private", false, "publish private addresses too")
	f.BoolVar(&o.apply, "apply", false, "send the update")
	f.BoolVar(&o.watch, "watch", false, "stay, and publish again when addresses change; with --apply")
	f.BoolVar(&o.withdraw, "withdraw", false, "remove what was published from here; with --watch, at the end")
	return cmd
}

// A publisher is one run of the command.
type publisher struct {
	publication
	cmd    *cobra.Command
	cfg    *config.Common
	names  *noid.Resolver
	key    *publish.Key
	server netip.AddrPort // zero: the zone's primary
	given  []netip.Addr   // in place of the host's own
	leave  []netip.Addr   // to be drained
	want   publish.Want
}

// publisher checks the command line.
func (o publication) publisher(cfg *config.Common, args []string) (*publisher, error) {
	p := &publisher{publication: o, cfg: cfg}
	name := strings.Join(append(args, string(cfg.Name))[:1], "")
	n, err := noid.ParseName(name)
	switch {
	case name == "":
		return nil, errors.New("want NAME, or name in the configuration")
	case err != nil:
		return nil, err
	case o.watch && !o.apply:
		return nil, errors.New("--watch changes records without asking: it needs --apply")
	case o.watch && len(o.drop) > 0:
		return nil, errors.New("--drop is for once: run it without --watch")
	case o.ttl < 1 || o.ttl > maxTTL:
		return nil, fmt.Errorf("--ttl %d: want 1 to %d seconds", o.ttl, maxTTL)
	}
	if o.key != "" {
		if p.key, err = publish.LoadKey(o.key); err != nil {
			return nil, err
		}
	}
	if o.server != "" {
		if p.server, err = publish.ParseServer(o.server); err != nil {
			return nil, fmt.Errorf("--server: %w", err)
		}
	}
	if p.given, err = addressList("address", o.addresses); err != nil {
		return nil, err
	}
	if p.leave, err = addressList("drain", o.drain); err != nil {
		return nil, err
	}
	p.want = publish.Want{Name: n, TTL: o.ttl, TXT: o.txt, Force: o.force, Replace: o.replace}
	if err := p.hosts(); err != nil {
		return nil, err
	}
	if !o.addressesOnly {
		if p.want.Cap, err = capability(cfg, n); err != nil {
			return nil, err
		}
	}
	p.names, err = p.resolver()
	return p, err
}

// hosts finds out who this host is, and who is gone.
func (p *publisher) hosts() (err error) {
	if p.want.Host, err = publish.ParseHostID(p.host); p.host == "" {
		p.want.Host, err = publish.OwnID(p.want.Name)
	}
	if err != nil {
		return err
	}
	for _, s := range p.drop {
		id, err := publish.ParseHostID(s)
		switch {
		case s == string(publish.Unnamed):
			id = publish.Unnamed
		case err != nil:
			return fmt.Errorf("--drop: %w", err)
		case id == p.want.Host:
			return fmt.Errorf("--drop %s: that is this host: --withdraw takes back what it has published", id)
		}
		p.want.Drop = append(p.want.Drop, id)
	}
	return nil
}

// addressList reads the addresses of a flag.
func addressList(flag, text string) (out []netip.Addr, err error) {
	for s := range strings.SplitSeq(text, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("--%s: %q: want an IP address", flag, s)
		}
		out = append(out, a.Unmap())
	}
	return out, nil
}

// maxTTL is a day: with more, an address that is gone is tried for longer than
// anybody waits.
const maxTTL = 86400

// capability is what this host's daemon speaks.
func capability(cfg *config.Common, n noid.Name) (*noid.Capability, error) {
	t := cfg.Transport
	switch {
	case t.Backend == config.BackendRaw || t.Backend == config.BackendKernel && t.UDPPort == 0:
		return nil, errors.New("transport.backend: a capability record is for SCTP in UDP, and this host speaks it without: use --addresses-only")
	case t.UDPPort == 0:
		return nil, errors.New("transport.udp-port: peers cannot call a port that is another each time: name one, or use --addresses-only")
	}
	return publish.Capability(n, t.UDPPort), nil
}

// resolver is one as a daemon has it, to which private addresses of the name
// are welcome if they are to be published.
func (p *publisher) resolver() (*noid.Resolver, error) {
	c, err := daemon.NamesConfig(p.cfg)
	if err != nil {
		return nil, err
	}
	if p.private {
		c.Zones = append(c.Zones, noid.Zone{Name: p.want.Name, Prefixes: noid.PrivatePrefixes()})
	}
	return noid.New(c)
}

// addresses are those to publish, and those that are not.
func (p *publisher) addresses() (publish.Addresses, error) {
	unfit := func(a netip.Addr) string {
		if slices.Contains(p.leave, a) {
			return "it is drained"
		}
		return p.names.Unfit(p.want.Name, a)
	}
	if len(p.given) > 0 {
		return publish.Choose(p.given, nil, nil, unfit), nil
	}
	var named []netip.Addr
	for _, a := range p.cfg.Transport.Local {
		named = append(named, a.Addr)
	}
	return publish.OfHost(named, unfit)
}

// primary finds the server.
func (p *publisher) primary(ctx context.Context) (*publish.Primary, error) {
	if p.server.IsValid() {
		return publish.FindZone(ctx, p.server, p.key, p.want.Name)
	}
	return publish.Locate(ctx, p.names, p.key, p.want.Name)
}

// once compares, prints, and sends if it is told to.
func (p *publisher) once(ctx context.Context) error {
	want := &p.want
	var left []publish.Left
	if p.withdraw {
		want = publish.Withdrawal(p.want.Name, p.want.Host)
		want.Drop = p.want.Drop
	} else {
		all, err := p.addresses()
		if err != nil {
			return err
		}
		want.Addrs, left = all.Addrs, all.Left
		if len(want.Addrs) == 0 {
			return noAddress(left)
		}
	}
	server, err := p.primary(ctx)
	if err != nil {
		return err
	}
	plan, err := server.Plan(ctx, want)
	if err != nil {
		return err
	}
	out := p.cmd.OutOrStdout()
	fmt.Fprintf(out, "zone %s at %v, %s, this host is %s\n\n", server.Zone, server.Addr, signed(p.key), want.Host)
	if err := plan.WriteDiff(out); err != nil {
		return err
	}
	for _, l := range left {
		fmt.Fprintf(out, "! %v is not published: %s\n", l.Addr, l.Why)
	}
	for _, note := range plan.Notes {
		fmt.Fprintf(out, "! %s\n", note)
	}
	switch {
	case plan.Empty():
		fmt.Fprintln(out, "\nNothing to do: the records are as they should be.")
		return nil
	case !p.apply:
		fmt.Fprintln(out, "\nThe update, as nsupdate would be told it:")
		if err := plan.WriteCommands(out, server.Addr); err != nil {
			return err
		}
		fmt.Fprintln(out, "\nNothing was sent: --apply sends it.")
		return nil
	}
	if plan, err = server.Publish(ctx, want); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nDone.")
	writeDrain(out, plan.Drain())
	return nil
}

// writeDrain says what the host has to keep until peers have forgotten it.
func writeDrain(out io.Writer, d publish.Drain) {
	var keep []string
	for _, a := range d.Addrs {
		keep = append(keep, a.String())
	}
	if d.Service {
		keep = append(keep, "the daemon")
	}
	if len(keep) > 0 {
		fmt.Fprintf(out, "Peers may know what was withdrawn for %v more: if this host still has it, keep so long: %s.\n", d.For, strings.Join(keep, ", "))
	}
}

func noAddress(left []publish.Left) error {
	err := publish.ErrNoAddress
	for _, l := range left {
		err = fmt.Errorf("%w; %v: %s", err, l.Addr, l.Why)
	}
	return fmt.Errorf("%w: mh doctor says which links lead out, --address names others, --private permits private ones", err)
}

func signed(k *publish.Key) string {
	if k == nil {
		return "unsigned"
	}
	return "key " + strings.TrimSuffix(k.Name, ".")
}

// keep publishes until a signal comes.
func (p *publisher) keep(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	changed, err := publish.Notices(ctx)
	if err != nil {
		return err
	}
	log := daemon.NewLogger(p.cfg.Log, p.cmd.ErrOrStderr())
	w := &publish.Watcher{
		Want: p.want, Changed: changed, Withdraw: p.withdraw, Log: log, TTL: p.ttl,
		Current: func() ([]netip.Addr, error) {
			all, err := p.addresses()
			return all.Addrs, err
		},
		Publish: func(ctx context.Context, want *publish.Want) (*publish.Plan, error) {
			server, err := p.primary(ctx)
			if err != nil {
				return nil, err
			}
			return server.Publish(ctx, want)
		},
	}
	log.Info("ready", "name", p.want.Name.String(), "signature", signed(p.key))
	return w.Run(ctx)
}
