package doctor

import (
	"context"

	"github.com/sctpmh/mh/internal/config"
)

// Options are what to examine.
type Options struct {
	// Config is the configuration that a daemon would run with.
	Config *config.Common

	// KernelAvailable says why the kernel's SCTP cannot be used with a UDP
	// port, 0 for none. It may load the kernel's module.
	KernelAvailable func(udpPort uint16) error

	// ResolvConf is read for DNS servers when the configuration names none.
	// Default /etc/resolv.conf.
	ResolvConf string

	kernelLoaded func() bool // nil: kernelLoaded
}

// Examine runs all checks. Its error says that the machine could not be looked
// at; what is wrong with the machine is in the report.
func Examine(ctx context.Context, o Options) (*Report, error) {
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.kernelLoaded == nil {
		o.kernelLoaded = kernelLoaded
	}
	h, err := survey(o.Config.Transport.Local)
	if err != nil {
		return nil, err
	}
	t := o.Config.Transport
	r := &Report{Uplinks: h.uplinks()}
	for _, findings := range [][]Finding{
		checkUplinks(h),
		checkSourceRouting(h),
		checkReversePath(h),
		checkMTU(h),
		checkNAT(h, o.Config.Name),
		checkUDPPort(h, t.Backend, t.UDPPort),
		checkKernel(t.Backend, o.kernelLoaded(), func() error { return o.KernelAvailable(t.UDPPort) }),
		checkRaw(t.Backend),
		checkResolver(ctx, o.Config, o.ResolvConf),
	} {
		r.Findings = append(r.Findings, findings...)
	}
	r.OK = len(r.checks(Fail)) == 0
	return r, nil
}
