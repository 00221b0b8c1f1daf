// Mh-socks is a SOCKS5 proxy that gives unmodified applications connections
// which survive the loss of an uplink.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/proxy"
)

func main() { os.Exit(daemon.Main(command(), os.Args[1:], os.Stderr)) }

func command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mh-socks",
		Short: "SOCKS5 proxy whose connections survive the loss of an uplink",
		Args:  daemon.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd)
		},
	}
	config.AddFlags(cmd.Flags(), config.DefaultSocks().Settings())
	return cmd
}

func run(cmd *cobra.Command) error {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	cfg, err := config.LoadSocks(file)
	if err == nil {
		err = config.Override(cmd.Flags(), cfg.Settings())
	}
	if err != nil {
		return &daemon.UsageError{Err: err}
	}
	// Who has a name to be found by has nothing more to hide: its addresses
	// are listed, and the peer keeps those that the name has too.
	h, err := daemon.Start(&cfg.Common, cmd.ErrOrStderr(), cfg.Name != "")
	if err != nil {
		return err
	}
	defer h.Close()
	return h.RunUntilSignal(cmd.Context(), func(ctx context.Context) error { return proxy.Run(ctx, cfg, h) })
}
