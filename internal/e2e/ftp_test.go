package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

const (
	ftpName  = "ftp.site.example.net"
	ftpSize  = 16 << 20
	ftpPorts = "40000-40099" // where the server awaits passive data connections
)

// needs skips a test for want of a program that others make, which with
// CI=true is a failure.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed: make tools", p)
		}
		t.Skipf("%s is not installed: make tools", p)
	}
}

// ftpSite is a scene whose site has an FTP server on a machine of its own,
// behind the gateway's. Its name's capability record, the gateway's and the
// reverse records of the gateway's addresses are in the DNS.
type ftpSite struct {
	*scene
	server   *testnet.Host
	control  atomic.Int64 // connections to port 21
	conf     string
	sessions sync.WaitGroup
}

// newFTPSite starts everything. The server tells an address in answers to
// PASV: its own, or the gateway's. The last two are more of the daemons'
// configuration.
func newFTPSite(t *testing.T, tellGateway bool, gateway, socks string) *ftpSite {
	t.Helper()
	needs(t, "vsftpd", "curl", "lftp")
	f := &ftpSite{}
	f.scene = newSceneWith(t, func(l *lab.Lab) options {
		told := inside
		if tellGateway {
			told = l.Site.Addrs()[0].String()
		}
		var err error
		f.server, err = behind(l, l.Site, "server")
		if err = errors.Join(err, l.SetZone(l.Zone()+ftpRecords(l.Site)), f.configure(l.Dir, told)); err != nil {
			t.Fatal(err)
		}
		uplinks := strings.ReplaceAll(fmt.Sprintf("%q", l.Site.Addrs()), " ", ", ")
		return options{
			gateway: fmt.Sprintf(`[[service]]
port = 21
target = "%s:21"
peers = ["*"]
[egress]
peers = [%q]
allow = ["%s:%s"]
[transport]
local = %s
[[intercept]]
listen = "[::]:1234"
%s`, inside, lab.LaptopName, inside, ftpPorts, uplinks, gateway),
			socks: fmt.Sprintf("via = %q\nlisten = [\"127.0.0.1:1080\"]\n%s", lab.GatewayName, socks),
		}
	})
	f.serveFTP(inside + ":21")
	return f
}

// ftpRecords are the server's name and the reverse records of the gateway.
func ftpRecords(gateway *testnet.Host) string {
	return fmt.Sprintf("_mhsctp.%s. 60 IN SVCB 1 %s. port=9899 key65280=\"\\001\\005\" mandatory=key65280\n%s. 60 IN A %v\n", ftpName, lab.GatewayName, ftpName, gateway.Addrs()[0]) +
		reverse(gateway, lab.GatewayName)
}

// configure writes the server's files.
func (f *ftpSite) configure(dir, told string) error {
	root := filepath.Join(dir, "ftp")
	if err := os.MkdirAll(filepath.Join(root, "in"), 0o755); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(root, "file"))
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.CopyN(file, stream(2), ftpSize); err != nil {
		return err
	}
	first, last, _ := strings.Cut(ftpPorts, "-")
	f.conf = filepath.Join(dir, "vsftpd.conf")
	return os.WriteFile(f.conf, fmt.Appendf(nil, `listen=NO
run_as_launching_user=YES
anonymous_enable=YES
no_anon_password=YES
anon_root=%s
write_enable=YES
anon_upload_enable=YES
pasv_min_port=%s
pasv_max_port=%s
pasv_address=%s
port_promiscuous=YES
connect_from_port_20=YES
ftp_data_port=20
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=YES
xferlog_std_format=NO
vsftpd_log_file=%s
`, root, first, last, told, filepath.Join(dir, "vsftpd.log")), 0o600)
}

// serveFTP runs vsftpd for each control connection, as inetd does.
func (f *ftpSite) serveFTP(addr string) {
	f.t.Helper()
	l, err := f.server.Listen(addr)
	f.must(err)
	done := make(chan struct{})
	go func() { // ends when the test closes l
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.control.Add(1)
			if err := f.session(c.(*net.TCPConn)); err != nil {
				f.t.Error(err)
			}
		}
	}()
	f.t.Cleanup(func() { l.Close(); <-done; f.sessions.Wait() })
}

// session is the server's end of one control connection.
func (f *ftpSite) session(c *net.TCPConn) error {
	defer c.Close()
	file, err := c.File()
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.CommandContext(f.t.Context(), "vsftpd", f.conf)
	cmd.Stdin, cmd.Stdout = file, file
	if err := f.server.Start(cmd); err != nil {
		return err
	}
	f.sessions.Go(func() { _ = cmd.Wait() }) // ends with the connection or the test
	return nil
}

// log returns what the server says of its transfers.
func (f *ftpSite) log() string {
	b, err := os.ReadFile(filepath.Join(f.Dir, "vsftpd.log"))
	f.must(err)
	return string(b)
}

// run runs a client on the laptop.
func (f *ftpSite) run(client string, in io.Reader, out io.Writer, args ...string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	var complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, client, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "HOME="+f.Dir) // the user's own settings are not for this
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &complaint
	f.must(f.Laptop.Start(cmd))
	if err := cmd.Wait(); err != nil {
		f.t.Fatalf("%s: %v: %s", client, err, complaint.String())
	}
}

// runCut is run while the first provider goes dark in the middle of what the
// client reads or writes.
func (f *ftpSite) runCut(client string, in io.Reader, out io.Writer, args ...string) {
	f.t.Helper()
	var progress meter
	cut := when(f.t, &progress, ftpSize/4, func() {
		if err := f.ISP[0].Cut(); err != nil {
			f.t.Error(err)
		}
	})
	f.run(client, io.TeeReader(in, &progress), io.MultiWriter(out, &progress), args...)
	<-cut
}

// download runs a client that writes the server's file to its standard output.
func (f *ftpSite) download(client string, args ...string) {
	f.t.Helper()
	h := sha256.New()
	f.runCut(client, strings.NewReader(""), h, args...)
	if !bytes.Equal(h.Sum(nil), hash(2, ftpSize)) {
		f.t.Errorf("%s: the file is not what the server has", client)
	}
}

// upload runs a client that stores its standard input as in/file.
func (f *ftpSite) upload(client string, args ...string) {
	f.t.Helper()
	f.runCut(client, io.LimitReader(stream(1), ftpSize), io.Discard, args...)
	file, err := os.Open(filepath.Join(f.Dir, "ftp", "in", "file"))
	f.must(err)
	defer file.Close()
	h := sha256.New()
	_, err = io.Copy(h, file)
	f.must(err)
	if !bytes.Equal(h.Sum(nil), hash(1, ftpSize)) {
		f.t.Errorf("%s: the server's file is not what was sent", client)
	}
}

// wantOneOfEach checks that there was one control and one data connection, that
// both went over associations with the gateway by name or by a literal as
// wanted, and that the cut moved data to the other provider.
func (f *ftpSite) wantOneOfEach(data string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	f.must(f.socks.Await(ctx, "stream finished", 2))
	streams := f.socks.Lines("stream finished")
	var targets []string
	for _, s := range streams {
		host, port, _ := net.SplitHostPort(fmt.Sprint(s["target"]))
		use := "data"
		if port == "21" {
			use = "control"
		}
		targets = append(targets, use+" to "+host)
		if s["transport"] != "mh" || s["error"] != nil {
			f.t.Errorf("%v went over %v because %v and ended with %v", s["target"], s["transport"], s["reason"], s["error"])
		}
	}
	if len(streams) != 2 || !slices.Contains(targets, "control to "+ftpName) || !slices.Contains(targets, "data to "+data) {
		f.t.Errorf("connections %q, want control to %s and data to %s", targets, ftpName, data)
	}
	if n := f.control.Load(); n != 1 {
		f.t.Errorf("the server saw %d control connections", n)
	}
	if log := f.log(); strings.Count(log, "] OK DOWNLOAD: ")+strings.Count(log, "] OK UPLOAD: ") != 1 || strings.Contains(log, "] FAIL ") {
		f.t.Errorf("the server logged\n%s", log)
	}
	if len(f.gw.Failovers())+len(f.socks.Failovers()) == 0 {
		f.t.Error("no failover: the cut came too late")
	}
}

// Passive FTP through both daemons, with the programs that people use: the
// data connection is the gateway's by name (EPSV), by the gateway's address or
// by the server's (PASV), and survives a provider as the control connection
// does.
func TestPassiveFTP(t *testing.T) {
	const url = "ftp://" + ftpName
	for _, test := range []struct {
		what        string
		tellGateway bool
		run         func(*ftpSite)
		data        func(f *ftpSite) string // the host that the data connection is asked for
	}{
		{"curl, EPSV", false, func(f *ftpSite) { f.download("curl", curl(url+"/file")...) }, serverName},
		{"curl, upload", false, func(f *ftpSite) { f.upload("curl", curl("-T", "-", url+"/in/file")...) }, serverName},
		{"curl, PASV with the gateway's address", true, func(f *ftpSite) {
			f.download("curl", curl("--disable-epsv", "--no-ftp-skip-pasv-ip", url+"/file")...)
		}, gatewayAddr},
		{"curl, PASV with the server's address", false, func(f *ftpSite) {
			f.download("curl", curl("--disable-epsv", "--no-ftp-skip-pasv-ip", url+"/file")...)
		}, serverAddr},
		{"lftp, PASV", true, func(f *ftpSite) {
			f.download("lftp", "--norc", "-c", "set ftp:proxy http://127.0.0.1:1080; set ftp:use-hftp no; set net:max-retries 1; set cmd:fail-exit yes; open "+url+"; cat file")
		}, gatewayAddr},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			f := newFTPSite(t, test.tellGateway, "", "")
			test.run(f)
			f.wantOneOfEach(test.data(f))
		})
	}
}

// curl's arguments, with the proxy.
func curl(more ...string) []string {
	return append([]string{"-q", "-sS", "--socks5-hostname", "127.0.0.1:1080"}, more...)
}

func serverName(*ftpSite) string    { return ftpName }
func serverAddr(*ftpSite) string    { return inside }
func gatewayAddr(f *ftpSite) string { return f.Site.Addrs()[0].String() }

// A port that no service has is reached at a service's server by those whom
// egress lets reach that server, and the service by the gateway's address.
func TestPortsOfServers(t *testing.T) {
	for _, test := range []struct {
		peer string
		want error
	}{{lab.LaptopName, nil}, {"other.example.net", lab.SocksError(2)}} {
		t.Run(test.peer, func(t *testing.T) {
			t.Parallel()
			s := newSceneWith(t, func(l *lab.Lab) options {
				own := l.Site.Addrs()[0]
				return options{
					gateway: fmt.Sprintf("[[service]]\nport = 70\ntarget = \"%v:7\"\npeers = [\"*\"]\n[egress]\npeers = [%q]\nallow = [\"%v:7\"]\n", own, test.peer, own),
					socks:   fmt.Sprintf("via = %q\nlisten = [\"127.0.0.1:1080\"]", lab.GatewayName),
				}
			})
			own := s.Site.Addrs()[0].String()
			s.echoAt(own + ":7")
			for _, want := range []struct {
				host string
				port int
				err  error
			}{{lab.SiteName, 7, test.want}, {lab.SiteName, 8, lab.SocksError(2)}, {lab.SiteName, 70, nil}, {own, 70, nil}} {
				c, err := s.DialSocks(want.host, want.port)
				if err != want.err {
					t.Errorf("%s:%d: %v, want %v", want.host, want.port, err, want.err)
				}
				if err == nil {
					s.wantEcho(c)
				}
			}
		})
	}
}
