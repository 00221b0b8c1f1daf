// Package daemon is what mh-socks and mh-gw have in common: how they start,
// log, become ready and end.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/mhdial"
	"github.com/sctpmh/mh/noid"
	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

// Exit codes of the programs.
const (
	ExitOK     = 0
	ExitRun    = 1 // a failure at run time
	ExitUsage  = 2 // wrong usage or configuration
	ExitForced = 3 // a second signal
)

// A UsageError is a mistake in the command line or the configuration.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the mistake.
func (e *UsageError) Unwrap() error { return e.Err }

// NoArgs is for commands that take none; more are a mistake of usage.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &UsageError{fmt.Errorf("unknown argument %q: see %s --help", args[0], cmd.CommandPath())}
	}
	return nil
}

// Main runs a command and returns the exit code.
func Main(cmd *cobra.Command, args []string, stderr io.Writer) int {
	cmd.SetArgs(args)
	cmd.SetErr(stderr)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &UsageError{err} })
	err := cmd.ExecuteContext(context.Background())
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", cmd.Name(), err)
	var usage *UsageError
	switch {
	case errors.As(err, &usage):
		return ExitUsage
	case errors.Is(err, errForced):
		return ExitForced
	}
	return ExitRun
}

var errForced = errors.New("forced to quit by a second signal")

// A Host is the running parts that both daemons need.
type Host struct {
	Log      *slog.Logger
	Endpoint *sctpmh.Endpoint
	Names    *mhdial.Resolver
	cfg      *config.Common
	self     selfCheck
	locals   locals
}

// NewLogger returns a logger as configured; without a format, text for a
// terminal and JSON else.
func NewLogger(c config.Log, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level.Level}
	f, isFile := w.(*os.File)
	if c.Format == "text" || c.Format == "" && isFile && term.IsTerminal(int(f.Fd())) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// Start opens the endpoint and the resolver. list has the local addresses
// named to peers unless the configuration says otherwise.
func Start(c *config.Common, stderr io.Writer, list bool) (*Host, error) {
	h := &Host{Log: NewLogger(c.Log, stderr), cfg: c}
	rc, err := NamesConfig(c)
	if err != nil {
		return nil, err
	}
	rc.Logger = h.Log
	rc.Own = func() []netip.AddrPort {
		if h.Endpoint == nil {
			return nil
		}
		return h.Endpoint.Addrs()
	}
	names, err := noid.New(rc)
	if err != nil {
		return nil, &UsageError{err}
	}
	local, absent, err := localAddrs(c)
	if err != nil {
		return nil, err
	}
	if c.Transport.Backend == config.BackendKernel && c.Transport.Disclose == "none" && len(local) > 1 {
		return nil, &UsageError{errors.New("transport.disclose: the kernel names all its addresses to peers: leave the key out, name one address in transport.local, or take another backend")}
	}
	if err := c.Transport.CheckMode(); err != nil {
		return nil, &UsageError{err}
	}
	h.Endpoint, err = sctpmh.Listen(local, &sctpmh.Config{
		MaxStreams: c.Transport.MaxStreams, MaxAssociations: c.Transport.MaxAssociations,
		Adaptation: tcpemu.AdaptationCode, Logger: h.Log,
		Backend:       backends[c.Transport.Backend],
		Aggregate:     c.Transport.Mode == config.ModeAggregate,
		ListAddresses: c.Transport.Disclose.All(c.Transport.Backend, list),
	})
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	h.locals.follow(h, absent)
	h.Names = &mhdial.Resolver{Noid: names, Local: func() (out []netip.Addr) {
		for _, l := range h.Endpoint.Addrs() {
			out = append(out, l.Addr())
		}
		return out
	}}
	h.Log.Warn("associations are not sealed: names are verified through the DNS, traffic is in clear", "security.mode", string(c.Security.Mode))
	return h, nil
}

var backends = map[config.Backend]sctpmh.Backend{
	config.BackendUDP:    sctpmh.UDP,
	config.BackendRaw:    sctpmh.Raw,
	config.BackendKernel: sctpmh.Kernel,
}

// Close closes what Start opened.
func (h *Host) Close() {
	h.self.stop()
	h.locals.stop()
	h.Endpoint.Close()
	h.Names.Noid.Close()
}

// Ready logs the line that says that the daemon is ready, with what it listens
// on, and tells systemd.
func (h *Host) Ready(attrs ...any) {
	h.Log.Info("ready", append(attrs, "transport", h.Endpoint.Addrs())...)
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // without systemd there is nobody to tell
	h.self.start(h)
}

// RunUntilSignal calls run with a context that ends at the first SIGTERM or
// interrupt; run then drains within limits.drain. A second signal ends the
// program at once. SIGHUP has the hosts files read again.
func (h *Host) RunUntilSignal(ctx context.Context, run func(context.Context) error) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx) }() // ends after ctx, within limits.drain
	for draining := false; ; {
		select {
		case err := <-done:
			return err
		case <-hangups:
			h.reload()
		case s := <-signals:
			if draining {
				return errForced
			}
			draining = true
			h.Log.Info("draining", "signal", s.String(), "limit", h.cfg.Limits.Drain.D().String())
			_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
			cancel()
		}
	}
}

// reload reads the hosts files again.
func (h *Host) reload() {
	if err := h.Names.Noid.Reload(); err != nil {
		h.Log.Error("the hosts files are not read again; what they said before holds", "error", err)
		return
	}
	h.Log.Info("hosts files read again", "signal", syscall.SIGHUP.String())
}
