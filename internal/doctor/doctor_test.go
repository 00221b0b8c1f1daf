package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"
	"github.com/vishvananda/netlink"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/internal/testnet"
)

var update = flag.Bool("update", false, "write what is seen to the scripts")

const holdVariable = "MH_DOCTOR_HOLD"

func TestMain(m *testing.M) {
	if at := os.Getenv(holdVariable); at != "" {
		hold(at)
	}
	os.Exit(testnet.Main(m, "internal/doctor", nil))
}

// hold holds a UDP port until it is killed.
func hold(at string) {
	if _, err := net.ListenPacket("udp", at); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	select {}
}

// The scripts have a laptop with providers, and commands that break something.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			s := &scene{net: testnet.New(), dir: e.WorkDir}
			e.Defer(s.close)
			e.Values[sceneKey{}] = s
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"providers": command(1, (*scene).providers), // COUNT: a laptop and a server, attached to so many
			"doctor":    doctor,                         // FLAGS
			"unroute":   command(1, (*scene).unroute),   // PROVIDER
			"carrier":   command(2, (*scene).carrier),   // PROVIDER on|off
			"device":    command(2, (*scene).device),    // PROVIDER on|off
			"mtu":       command(2, (*scene).mtu),       // DEVICE OCTETS
			"sysctl":    command(2, (*scene).sysctl),    // FILE VALUE
			"address":   command(2, (*scene).address),   // DEVICE PREFIX
			"rule":      command(3, (*scene).rule),      // ADDRESS ROUTER DEVICE
			"sctp":      command(0, (*scene).loadSCTP),
			"take":      command(1, (*scene).take),    // ADDRESS:PORT
			"program":   command(2, (*scene).program), // NAME ADDRESS:PORT
			"dns":       command(2, (*scene).dns),     // laptop|server ADDRESS
		},
	})
}

type sceneKey struct{}

// A scene is what a script works on.
type scene struct {
	net            *testnet.Net
	dir            string // for files
	laptop, server *testnet.Host
	isps           []*testnet.ISP
	names          []*dnstest.Server
	taken          []io.Closer
	programs       []*exec.Cmd
	sctp           bool // the kernel is to speak it
}

func (s *scene) close() {
	for _, c := range s.taken {
		c.Close()
	}
	for _, d := range s.names {
		d.Close()
	}
	s.net.Close() // kills the programs
	for _, p := range s.programs {
		p.Wait()
	}
}

// command makes a script's command of a method.
func command(count int, f func(*scene, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != count {
			ts.Fatalf("want %d arguments, got %q", count, args)
		}
		ts.Check(f(ts.Value(sceneKey{}).(*scene), args))
	}
}

// doctor examines the laptop. It fails when the report does.
func doctor(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(sceneKey{}).(*scene)
	c := config.DefaultGateway()
	fs := pflag.NewFlagSet("doctor", pflag.ContinueOnError)
	config.AddFlags(fs, c.Settings())
	json := fs.Bool("json", false, "")
	ts.Check(fs.Parse(args))
	ts.Check(config.Override(fs, c.Settings()))
	o := Options{
		Config: &c.Common, ResolvConf: ts.MkAbs("resolv.conf"),
		KernelAvailable: func(port uint16) error { return fmt.Errorf("no SCTP over UDP port %d", port) },
		kernelLoaded:    func() bool { return s.sctp },
	}
	var r *Report
	ts.Check(s.laptop.Do(func() (err error) { r, err = Examine(context.Background(), o); return err }))
	if *json {
		ts.Check(r.WriteJSON(ts.Stdout()))
	} else {
		ts.Check(r.WriteText(ts.Stdout()))
	}
	if r.OK == neg {
		var text bytes.Buffer
		r.WriteText(&text)
		ts.Fatalf("ok is %v:\n%s", r.OK, &text)
	}
}

func (s *scene) providers(args []string) (err error) {
	if s.laptop, err = s.net.Host("laptop"); err != nil {
		return err
	}
	if s.server, err = s.net.Host("server"); err != nil {
		return err
	}
	n, err := strconv.Atoi(args[0])
	for i := range n {
		isp, err := s.net.ISP(fmt.Sprint("isp", i+1), i+1, 0)
		if err != nil {
			return err
		}
		for _, h := range []*testnet.Host{s.laptop, s.server} {
			if _, err := isp.Attach(h); err != nil {
				return err
			}
		}
		s.isps = append(s.isps, isp)
	}
	return err
}

func (s *scene) isp(number string) (*testnet.ISP, error) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(s.isps) {
		return nil, fmt.Errorf("no provider %s", number)
	}
	return s.isps[n-1], nil
}

func (s *scene) unroute(args []string) error {
	isp, err := s.isp(args[0])
	if err != nil {
		return err
	}
	return isp.Unroute(s.laptop)
}

func (s *scene) carrier(args []string) error {
	isp, err := s.isp(args[0])
	if err != nil {
		return err
	}
	return isp.Carrier(s.laptop, args[1] == "on")
}

func (s *scene) device(args []string) error {
	isp, err := s.isp(args[0])
	if err != nil {
		return err
	}
	return isp.Device(s.laptop, args[1] == "on")
}

// link does something to a device of the laptop's.
func (s *scene) link(name string, f func(netlink.Link) error) error {
	return s.laptop.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return f(l)
	})
}

func (s *scene) mtu(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return s.link(args[0], func(l netlink.Link) error { return netlink.LinkSetMTU(l, n) })
}

func (s *scene) sysctl(args []string) error {
	return s.laptop.Do(func() error { return os.WriteFile("/proc/sys/"+args[0], []byte(args[1]), 0) })
}

func (s *scene) address(args []string) error {
	a, err := netlink.ParseAddr(args[1])
	if err != nil {
		return err
	}
	return s.link(args[0], func(l netlink.Link) error { return netlink.AddrAdd(l, a) })
}

// rule is what checkSourceRouting advises.
func (s *scene) rule(args []string) error {
	from, router := netip.MustParseAddr(args[0]), netip.MustParseAddr(args[1])
	return s.link(args[2], func(l netlink.Link) error {
		const table = 100
		r := netlink.NewRule()
		r.Src, r.Table, r.Family = netlink.NewIPNet(from.AsSlice()), table, netlink.FAMILY_V4
		if from.Is6() {
			r.Family = netlink.FAMILY_V6
		}
		return errors.Join(
			netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: router.AsSlice(), Table: table}),
			netlink.RuleAdd(r),
		)
	})
}

func (s *scene) loadSCTP([]string) error { s.sctp = true; return nil }

func (s *scene) take(args []string) error {
	c, err := s.laptop.ListenPacket(args[0])
	if err == nil {
		s.taken = append(s.taken, c)
	}
	return err
}

// program has a program of that name take a UDP port.
func (s *scene) program(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	name := filepath.Join(s.dir, args[0])
	if err := os.Symlink(self, name); err != nil {
		return err
	}
	cmd := exec.Command(name)
	cmd.Env = append(os.Environ(), holdVariable+"="+args[1])
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.laptop.Start(cmd); err != nil {
		return err
	}
	s.programs = append(s.programs, cmd)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		return fmt.Errorf("%s: %q, %v", args[0], line, err)
	}
	return nil
}

// dns starts a server that knows who serves the root, and the laptop.
func (s *scene) dns(args []string) error {
	h := s.laptop
	if args[0] == "server" {
		h = s.server
	}
	return h.Do(func() error {
		d, err := dnstest.New(args[1]+":53", ". NS a.root.example.\nlaptop.example.net. A 10.1.1.2\n")
		if err == nil {
			s.names = append(s.names, d)
		}
		return err
	})
}
