// Package lab sets the scene that the demo and the end-to-end tests share: a
// laptop and a site, joined by two providers; at the site a DNS server, the
// real mh-gw before a plain server; on the laptop the real mh-socks.
//
//	                    +---------- ISP A ----------+
//	client - mh-socks - laptop                     site - mh-gw - server
//	                    +---------- ISP B ----------+
package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/internal/testnet"
)

// Names of the scene.
const (
	SiteName    = "www.site.example.net"    // what clients ask for
	GatewayName = "gw.site.example.net"     // the host behind it
	LaptopName  = "laptop.site.example.net" // what mh-socks claims to be
	ServicePort = 80
)

// A Lab is the scene.
type Lab struct {
	Net          *testnet.Net
	Laptop, Site *testnet.Host
	ISP          [2]*testnet.ISP // A and B
	DNS          []*dnstest.Server
	Dir          string // for files; removed by Close

	backends Backends

	bin   string
	mu    sync.Mutex // guards procs
	procs []*Proc
}

// New makes the network; rate limits each link, in octets a second. bin is the
// folder of the programs. lines, where given, are those of ISP A and B.
func New(bin string, rate uint64, lines ...testnet.Line) (*Lab, error) {
	return NewWith(bin, rate, Backends{}, lines...)
}

// NewWith is New with other backends than UDP.
func NewWith(bin string, rate uint64, b Backends, lines ...testnet.Line) (*Lab, error) {
	l := &Lab{Net: testnet.New(), bin: bin, backends: b}
	dir, err := os.MkdirTemp("", "mh-lab-")
	if err != nil {
		return nil, err
	}
	l.Dir = dir
	if err := l.build(rate, lines); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) build(rate uint64, lines []testnet.Line) (err error) {
	if l.Laptop, err = l.Net.Host("laptop"); err != nil {
		return err
	}
	if l.Site, err = l.Net.Host("site"); err != nil {
		return err
	}
	for i, name := range []string{"isp-a", "isp-b"} {
		if l.ISP[i], err = l.Net.ISP(name, i+1, rate); err != nil {
			return err
		}
		if i < len(lines) {
			if err := l.ISP[i].Degrade(lines[i]); err != nil {
				return err
			}
		}
		for _, h := range []*testnet.Host{l.Laptop, l.Site} {
			if _, err := l.ISP[i].Attach(h); err != nil {
				return err
			}
		}
	}
	if err := l.backends.prepare(l); err != nil {
		return err
	}
	return l.serveDNS()
}

// Zone returns the records of the scene; extra addresses are added to the
// gateway's.
func (l *Lab) Zone(extra ...netip.Addr) string {
	var z strings.Builder
	add := func(name string, addrs []netip.Addr) {
		for _, a := range addrs {
			kind := "A"
			if a.Is6() {
				kind = "AAAA"
			}
			fmt.Fprintf(&z, "%s. 60 IN %s %v\n", name, kind, a)
		}
	}
	add(GatewayName, append(l.Site.Addrs(), extra...))
	add(SiteName, l.Site.Addrs())
	add(LaptopName, l.Laptop.Addrs())
	for _, name := range []string{SiteName, GatewayName} {
		fmt.Fprintf(&z, "_mhsctp.%s. 60 IN SVCB 1 %s. port=9899 key65280=\"\\001\\005\" mandatory=key65280\n", name, GatewayName)
	}
	return z.String()
}

// serveDNS starts a server on each of the site's addresses.
func (l *Lab) serveDNS() error {
	for _, a := range l.Site.Addrs() {
		err := l.Site.Do(func() error {
			d, err := dnstest.New(net.JoinHostPort(a.String(), "53"), l.Zone())
			if err == nil {
				l.DNS = append(l.DNS, d)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("DNS server at %v: %w", a, err)
		}
	}
	return nil
}

// SetZone replaces the records at every server.
func (l *Lab) SetZone(zone string) error {
	for _, d := range l.DNS {
		if err := d.SetZone(zone); err != nil {
			return err
		}
	}
	return nil
}

// Config writes a configuration file with the parts that the scene's daemons
// share, and more.
func (l *Lab) Config(name, own, more string) (string, error) {
	var servers []string
	for _, d := range l.DNS {
		servers = append(servers, fmt.Sprintf("%q", "udp://"+d.Addr()))
	}
	text := fmt.Sprintf("name = %q\n%s\n[dns]\nupstream = [%s]\nunsigned = [\".\"]\nprivate-zones = { \"example.net\" = [\"10.0.0.0/8\", \"fd00::/8\"] }\n[limits]\ndrain = \"1s\"\n[log]\nformat = \"json\"\n",
		own, more, strings.Join(servers, ", "))
	file := filepath.Join(l.Dir, name)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// StartGateway starts mh-gw at the site before a server on its loopback; more
// is added to its configuration.
func (l *Lab) StartGateway(server, more string) (*Proc, error) {
	service := l.backends.transport(l.backends.Site) + fmt.Sprintf("[[service]]\nport = %d\ntarget = %q\npeers = [%q]\n", ServicePort, server, LaptopName)
	file, err := l.Config("gw.toml", GatewayName, service+more)
	if err != nil {
		return nil, err
	}
	return l.Start(l.Site, "mh-gw", "-c", file)
}

// StartSocks starts mh-socks on the laptop; keys are its own keys, "" those
// of the scene.
func (l *Lab) StartSocks(keys string) (*Proc, error) {
	if keys == "" {
		keys = "listen = [\"127.0.0.1:1080\"]"
	}
	file, err := l.Config("socks.toml", LaptopName, keys+"\n"+l.backends.transport(l.backends.Laptop))
	if err != nil {
		return nil, err
	}
	return l.Start(l.Laptop, "mh-socks", "-c", file)
}

// Close ends the programs and removes the network.
func (l *Lab) Close() {
	l.mu.Lock()
	procs := l.procs
	l.mu.Unlock()
	for _, p := range procs {
		p.Stop()
	}
	for _, d := range l.DNS {
		d.Close()
	}
	l.Net.Close()
	os.RemoveAll(l.Dir)
}

// A Proc is a program that runs in the scene.
type Proc struct {
	Name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and its log was read

	mu    sync.Mutex // guards what follows
	lines []map[string]any
	text  []string
	more  chan struct{} // closed at the next line
}

// Start runs a program of ours inside a host and reads its log.
func (l *Lab) Start(h *testnet.Host, name string, args ...string) (*Proc, error) {
	p := &Proc{Name: name, done: make(chan struct{}), more: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(l.bin, name), args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := h.Start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.read(log) // ends with the program
	l.mu.Lock()
	l.procs = append(l.procs, p)
	l.mu.Unlock()
	return p, nil
}

// read keeps the log, line by line.
func (p *Proc) read(r io.Reader) {
	defer close(p.done)
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		var line map[string]any
		_ = json.Unmarshal(s.Bytes(), &line) // what is no JSON is kept as text
		p.mu.Lock()
		p.lines = append(p.lines, line)
		p.text = append(p.text, s.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, r) // a line too long must not stop the program
	_ = p.cmd.Wait()
}

// maxLine bounds a line of the log, such as one of a crash.
const maxLine = 1 << 20

// Log returns what the program wrote so far.
func (p *Proc) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.text, "\n")
}

// Lines returns the log lines with a message.
func (p *Proc) Lines(msg string) (out []map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if l["msg"] == msg {
			out = append(out, l)
		}
	}
	return out
}

// Await waits for count log lines with a message.
func (p *Proc) Await(ctx context.Context, msg string, count int) error {
	for {
		p.mu.Lock()
		more := p.more
		p.mu.Unlock()
		if len(p.Lines(msg)) >= count {
			return nil
		}
		select {
		case <-more:
		case <-p.done:
			if len(p.Lines(msg)) >= count {
				return nil
			}
			return fmt.Errorf("%s ended before it logged %q:\n%s", p.Name, msg, p.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s did not log %q in time:\n%s", p.Name, msg, p.Log())
		}
	}
}

// AwaitReady waits until the program says that it is ready.
func (p *Proc) AwaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return p.Await(ctx, "ready", 1)
}

// Terminate asks the program to end.
func (p *Proc) Terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// Stop ends the program, gently at first.
func (p *Proc) Stop() {
	select {
	case <-p.done:
		return
	default:
	}
	p.Terminate()
	select {
	case <-p.done:
	case <-time.After(3 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Exit waits for the program to end and returns its exit code.
func (p *Proc) Exit() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Failover is a failover as a daemon logs it.
type Failover struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Cause   string  `json:"cause"`
	StallMS float64 `json:"stall_ms"`
}

// Failovers returns the failovers that the program logged.
func (p *Proc) Failovers() (out []Failover) {
	for _, l := range p.Lines("failover") {
		f := Failover{}
		f.From, _ = l["from"].(string)
		f.To, _ = l["to"].(string)
		f.Cause, _ = l["cause"].(string)
		f.StallMS, _ = l["stall_ms"].(float64)
		out = append(out, f)
	}
	return out
}

// DialSocks connects from the laptop to a host behind mh-socks.
func (l *Lab) DialSocks(host string, port int) (*net.TCPConn, error) {
	c, err := l.Laptop.Dial("tcp", "127.0.0.1:1080")
	if err != nil {
		return nil, err
	}
	if err := connectSocks(c, host, port); err != nil {
		c.Close()
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// connectSocks asks the proxy at c for a host.
func connectSocks(c net.Conn, host string, port int) error {
	req := append([]byte{5, 1, 0, 5, 1, 0, 3, byte(len(host))}, host...)
	req = append(req, byte(port>>8), byte(port))
	if _, err := c.Write(req); err != nil {
		return err
	}
	var answer [6]byte // method, reply, and the bound address's type
	if _, err := io.ReadFull(c, answer[:4]); err != nil {
		return fmt.Errorf("SOCKS: %w", err)
	}
	if answer[3] != 0 {
		return SocksError(answer[3])
	}
	if _, err := io.ReadFull(c, answer[4:]); err != nil {
		return fmt.Errorf("SOCKS: %w", err)
	}
	rest := 4 + 2 // IPv4 and port
	if answer[5] == 4 {
		rest = 16 + 2
	}
	if _, err := io.CopyN(io.Discard, c, int64(rest)); err != nil {
		return fmt.Errorf("SOCKS: %w", err)
	}
	return nil
}

// SocksError is a reply of RFC 1928 section 6 other than success.
type SocksError byte

func (e SocksError) Error() string { return fmt.Sprintf("SOCKS reply %d", byte(e)) }
