package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/explain"
	"github.com/sctpmh/mh/noid"
)

// explainTime is how long all the questions of an explanation may take: a few
// servers that are silent, one after the other.
const explainTime = 30 * time.Second

func dnsCommand(code *int) *cobra.Command {
	var json bool
	var address, claim string
	cmd := &cobra.Command{
		Use:   "dns NAME",
		Short: "say what the DNS has of a host, what of it is used, and why a second path is not",
		Long: "Asks what a daemon asks about a host, and says what came back, how far it is trusted, and which addresses may be used.\n" +
			"With --explain, goes from an address to the host behind it.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || (len(args) == 0) == (address == "") {
				return &daemon.UsageError{Err: fmt.Errorf("want NAME or --explain ADDRESS")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := commandConfig(cmd, dnsFlags)
			if err != nil {
				return &daemon.UsageError{Err: err}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), explainTime)
			defer cancel()
			if address == "" {
				if a, err := netip.ParseAddr(args[0]); err == nil {
					address = a.String()
				}
			}
			if address != "" {
				return explainAddr(ctx, cmd, cfg, address, claim, json, code)
			}
			return explainName(ctx, cmd, cfg, args[0], json, code)
		},
	}
	config.AddFlags(cmd.Flags(), only(config.DefaultGateway().Settings(), dnsFlags))
	cmd.Flags().BoolVar(&json, "json", false, "print one JSON object")
	cmd.Flags().StringVar(&address, "explain", "", "an address, to say which host it is and why")
	cmd.Flags().StringVar(&claim, "claim", "", "the name that the host at the address says it has")
	cmd.AddCommand(publishCommand(code))
	return cmd
}

// dnsFlags are the settings that decide what is found of a name.
var dnsFlags = []string{"dns", "trust", "hosts"}

// only keeps the settings with these flags.
func only(all []config.Setting, flags []string) []config.Setting {
	return slices.DeleteFunc(all, func(s config.Setting) bool { return !slices.Contains(flags, s.Flag) })
}

func explainAddr(ctx context.Context, cmd *cobra.Command, cfg *config.Common, address, claim string, json bool, code *int) error {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return &daemon.UsageError{Err: fmt.Errorf("--explain: %q: want an IP address", address)}
	}
	if claim != "" {
		if _, err := noid.ParseName(claim); err != nil {
			return &daemon.UsageError{Err: fmt.Errorf("--claim: %w", err)}
		}
	}
	names, err := resolver(cfg)
	if err != nil {
		return err
	}
	defer names.Close()
	r := explain.OfAddr(names.ExplainAddr(ctx, a, claim))
	if !r.OK {
		*code = daemon.ExitRun
	}
	if json {
		return explain.WriteJSON(cmd.OutOrStdout(), r)
	}
	return r.WriteText(cmd.OutOrStdout())
}

func explainName(ctx context.Context, cmd *cobra.Command, cfg *config.Common, name string, json bool, code *int) error {
	names, err := resolver(cfg)
	if err != nil {
		return err
	}
	defer names.Close()
	e, err := names.Explain(ctx, name, 0)
	if err != nil {
		return &daemon.UsageError{Err: err}
	}
	strict, err := explainStrict(ctx, cfg, e)
	if err != nil {
		return err
	}
	r := explain.OfName(e, strict)
	if c, err := daemon.NamesConfig(cfg); err == nil && c.Consistency == noid.ConsistencyAll {
		r.AllServers()
	}
	if !r.OK {
		*code = daemon.ExitRun
	}
	if json {
		return explain.WriteJSON(cmd.OutOrStdout(), r)
	}
	return r.WriteText(cmd.OutOrStdout())
}

// explainStrict has a name resolved by a resolver that validates, because what
// "strict" would use cannot be told from answers that nobody has validated.
func explainStrict(ctx context.Context, cfg *config.Common, e *noid.Explanation) (*noid.Explanation, error) {
	if e.Trust == noid.Strict || len(e.Hosts) == 0 {
		return nil, nil
	}
	strict := *cfg
	strict.DNS.Trust.Trust = noid.Strict
	names, err := resolver(&strict)
	if err != nil {
		return nil, err
	}
	defer names.Close()
	return names.Explain(ctx, e.Name.String(), 0)
}

// resolver is one as a daemon has it.
func resolver(cfg *config.Common) (*noid.Resolver, error) {
	c, err := daemon.NamesConfig(cfg)
	if err != nil {
		return nil, err
	}
	names, err := noid.New(c)
	if err != nil {
		return nil, &daemon.UsageError{Err: err}
	}
	return names, nil
}
