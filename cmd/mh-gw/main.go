// Mh-gw is a site gateway: it splices legacy TCP servers and clients onto
// connections that survive the loss of an uplink.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/gateway"
)

func main() { os.Exit(daemon.Main(command(), os.Args[1:], os.Stderr)) }

func command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mh-gw",
		Short: "gateway between legacy TCP and connections that survive the loss of an uplink",
		Args:  daemon.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd)
		},
	}
	config.AddFlags(cmd.Flags(), config.DefaultGateway().Settings())
	cmd.AddCommand(initCommand())
	return cmd
}

func run(cmd *cobra.Command) error {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	cfg, err := config.LoadGateway(file)
	if err == nil {
		err = config.Override(cmd.Flags(), cfg.Settings())
	}
	if err != nil {
		return &daemon.UsageError{Err: err}
	}
	h, err := daemon.Start(&cfg.Common, cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	defer h.Close()
	return h.RunUntilSignal(cmd.Context(), func(ctx context.Context) error { return gateway.Run(ctx, cfg, h) })
}
