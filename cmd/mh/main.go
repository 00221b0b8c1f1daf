// Mh is the tool beside mh-socks and mh-gw.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/demo"
)

func main() {
	code := daemon.ExitOK
	cmd := command(&code)
	if c := daemon.Main(cmd, os.Args[1:], os.Stderr); c != daemon.ExitOK {
		code = c
	}
	os.Exit(code)
}

func command(code *int) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mh",
		Short: "connections that survive the loss of an uplink",
		Args:  daemon.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(demoCommand(code), doctorCommand(code), dnsCommand(code), versionCommand())
	return cmd
}

func demoCommand(code *int) *cobra.Command {
	o := demo.Options{Out: os.Stdout}
	var megabytes int64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "watch a download go on while one provider and then the other goes dark",
		Args:  daemon.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			const mega = 1_000_000
			if megabytes < demo.MinSize/mega || megabytes > demo.MaxSize/mega {
				return &daemon.UsageError{Err: fmt.Errorf("--size %d: want %d to %d megabytes", megabytes, demo.MinSize/mega, demo.MaxSize/mega)}
			}
			o.Size = megabytes * mega
			*code = demo.Run(o)
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.JSON, "json", false, "print one JSON object at the end")
	f.BoolVar(&o.Compare, "compare", false, "run the same cuts over plain TCP and MultiPath TCP as well")
	f.Int64Var(&megabytes, "size", 120, "megabytes to download")
	f.StringVar(&o.Backend, "backend", "udp", "what carries associations: udp, raw or kernel, or two of them, the laptop's and the site's: udp,kernel")
	f.BoolVar(&o.OneISP, "one-isp", false, "leave only one provider up, so that the demo must fail")
	if err := f.MarkHidden("one-isp"); err != nil {
		panic("BUG: " + err.Error())
	}
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  daemon.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			version := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version
			}
			fmt.Fprintln(cmd.OutOrStdout(), "mh", version)
		},
	}
}
