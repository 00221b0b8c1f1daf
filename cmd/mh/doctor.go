package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/doctor"
	"github.com/sctpmh/mh/sctpmh"
)

func doctorCommand(code *int) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "say why a second path would not be used, and what to do about it",
		Args:  daemon.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := commandConfig(cmd, doctorFlags)
			if err != nil {
				return &daemon.UsageError{Err: err}
			}
			r, err := doctor.Examine(cmd.Context(), doctor.Options{Config: cfg, KernelAvailable: sctpmh.KernelAvailable})
			if err != nil {
				return err
			}
			if !r.OK {
				*code = daemon.ExitRun
			}
			if json {
				return r.WriteJSON(cmd.OutOrStdout())
			}
			return r.WriteText(cmd.OutOrStdout())
		},
	}
	config.AddFlags(cmd.Flags(), only(config.DefaultGateway().Settings(), doctorFlags))
	cmd.Flags().BoolVar(&json, "json", false, "print one JSON object")
	return cmd
}

// doctorFlags are the settings that there is something to examine of.
var doctorFlags = []string{"local", "udp-port", "backend", "name", "dns", "trust", "hosts"}

// commandConfig is what a daemon would run with: mh-gw's defaults or either
// daemon's file, then the environment and flags.
func commandConfig(cmd *cobra.Command, flags []string) (*config.Common, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	common, settings, err := loadEither(file)
	if err != nil {
		return nil, err
	}
	return common, config.Override(cmd.Flags(), only(settings, flags))
}

// loadEither reads a file of mh-gw's or of mh-socks'.
func loadEither(file string) (*config.Common, []config.Setting, error) {
	gateway, gerr := config.LoadGateway(file)
	if gerr == nil {
		return &gateway.Common, gateway.Settings(), nil
	}
	socks, serr := config.LoadSocks(file)
	if serr == nil {
		return &socks.Common, socks.Settings(), nil
	}
	if gerr.Error() == serr.Error() {
		return nil, nil, gerr
	}
	return nil, nil, errors.Join(fmt.Errorf("as a file of mh-gw's: %w", gerr), fmt.Errorf("as a file of mh-socks': %w", serr))
}
