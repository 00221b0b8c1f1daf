package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/lab"
)

const callbacks = "[callback]\nftp = true\n"

// Active FTP through both daemons: the server connects to an address that the
// client has announced, of its own machine. The site's packet filter hands that
// to the gateway, which takes it to where the announcement came from; mh-socks
// lets it in to the client, and it survives a provider. No address has a reverse
// record, and the laptop no capability record.
func TestActiveFTPThroughSocks(t *testing.T) {
	const url = "ftp://" + ftpName
	for _, test := range []struct {
		what string
		run  func(f *ftpSite, own string)
	}{
		{"curl, EPRT", func(f *ftpSite, own string) { f.download("curl", curl("--ftp-port", own, url+"/file")...) }},
		{"curl, PORT", func(f *ftpSite, own string) {
			f.download("curl", curl("--disable-eprt", "--ftp-port", own, url+"/file")...)
		}},
		{"curl, upload", func(f *ftpSite, own string) {
			f.upload("curl", curl("--ftp-port", own, "-T", "-", url+"/in/file")...)
		}},
		{"lftp, PORT", func(f *ftpSite, own string) { f.download("proxychains4", f.activeLFTP(own, "cat file")...) }},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			needs(t, "nft", "proxychains4")
			f := newFTPSite(t, false, callbacks, callbacks)
			f.redirect(f.Site, "1024-65535")
			own := f.Laptop.Addrs()[0].String()
			test.run(f, own)
			f.wantOneOfEach(own)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			f.must(f.gw.Await(ctx, "stream finished", 2))
			if !slices.ContainsFunc(f.gw.Lines("stream finished"), func(l map[string]any) bool { return l["peer"] == inside+":20" }) {
				t.Errorf("the gateway has taken no connection from the server's port 20: %v", f.gw.Lines("stream finished"))
			}
			if l := f.socks.Lines("callback refused"); len(l) > 0 {
				t.Errorf("refused: %v", l)
			}
		})
	}
}

// activeLFTP is the arguments with which lftp is run that awaits connections at
// the address by which it talks to mh-socks and announces another one. By HTTP
// CONNECT it would not be active, and by itself it knows no SOCKS.
func (f *ftpSite) activeLFTP(announced, command string) []string {
	f.t.Helper()
	conf := filepath.Join(f.Dir, "proxychains.conf")
	f.must(os.WriteFile(conf, []byte("strict_chain\nquiet_mode\nproxy_dns\n[ProxyList]\nsocks5 127.0.0.1 1080\n"), 0o600))
	return []string{"-q", "-f", conf, "lftp", "--norc", "-c", "set ftp:passive-mode no; set ftp:auto-passive-mode no; set ftp:port-ipv4 " + announced +
		"; set net:max-retries 1; set cmd:fail-exit yes; open ftp://" + ftpName + "; " + command}
}

// Where one of the daemons has callbacks off, the server's connection is one as
// any other: it goes to the announced address by TCP, where that can be.
func TestActiveFTPWithoutCallbacks(t *testing.T) {
	for _, test := range []struct{ what, gateway, socks string }{
		{"off at the site", "", callbacks},
		{"off at the laptop", callbacks, ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			needs(t, "nft")
			f := newFTPSite(t, false, test.gateway, test.socks)
			f.redirect(f.Site, "1024-65535")
			own := f.Laptop.Addrs()[0].String()
			var list bytes.Buffer
			f.run("curl", strings.NewReader(""), &list, curl("--ftp-port", own, "ftp://"+ftpName+"/")...)
			if !strings.Contains(list.String(), fmt.Sprint(ftpSize)) {
				t.Errorf("curl lists %q", list.String())
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			f.must(f.gw.Await(ctx, "stream finished", 2))
			var targets []string
			for _, l := range f.gw.Lines("stream finished") {
				host, _, _ := net.SplitHostPort(fmt.Sprint(l["target"]))
				targets = append(targets, host)
				if (l["transport"] == "mh") != (host == "") || l["error"] != nil {
					t.Errorf("%v went over %v and ended with %v", l["target"], l["transport"], l["error"])
				}
			}
			if len(targets) != 2 || !slices.Contains(targets, own) {
				t.Errorf("the gateway had connections to %q, want one to %s", targets, own)
			}
		})
	}
}

// Who announces somebody else's address gets nothing of what the server sends
// there: it goes there.
func TestActiveFTPToOthers(t *testing.T) {
	t.Parallel()
	needs(t, "nft")
	f := newFTPSite(t, false, callbacks, callbacks)
	f.redirect(f.Site, "1024-65535")
	other, err := f.Net.Host("other")
	f.must(err)
	_, err = f.ISP[0].Attach(other)
	f.must(err)
	at := netip.AddrPortFrom(other.Addrs()[0], 50000)
	l, err := other.Listen(at.String())
	f.must(err)
	defer l.Close()
	conn, err := f.DialSocks(ftpName, 21)
	f.must(err)
	defer conn.Close()
	f.must(conn.SetDeadline(time.Now().Add(20 * time.Second)))
	f.must(l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second)))
	control := textproto.NewConn(conn)
	_, _, err = control.ReadResponse(220)
	f.must(err)
	b := at.Addr().As4()
	for _, step := range []struct {
		command string
		want    int
	}{{"USER anonymous", 230}, {fmt.Sprintf("PORT %d,%d,%d,%d,%d,%d", b[0], b[1], b[2], b[3], at.Port()>>8, at.Port()&255), 200}, {"LIST", 150}} {
		f.must(control.PrintfLine("%s", step.command))
		_, _, err = control.ReadResponse(step.want)
		f.must(err)
	}
	data, err := l.Accept()
	f.must(err)
	defer data.Close()
	if list, err := io.ReadAll(data); err != nil || !strings.Contains(string(list), fmt.Sprint(ftpSize)) {
		t.Errorf("the address that was announced has got %q, %v", list, err)
	}
	if refused := f.socks.Lines("callback refused"); len(refused) > 0 {
		t.Errorf("the laptop was asked: %v", refused)
	}
}

// Active FTP without mh-socks at the client's end of the data connection: the
// server connects to the client's address. The site's packet
// filter hands that to its gateway, which finds the laptop's name; a gateway on
// the laptop lets it in to the few ports that its operator has named.
func TestActiveFTPBetweenGateways(t *testing.T) {
	t.Parallel()
	needs(t, "nft")
	f := newFTPSite(t, false, "", "")
	own := f.Laptop.Addrs()[0]
	f.must(f.SetZone(f.Zone() + ftpRecords(f.Site) + reverse(f.Laptop, lab.LaptopName) + nearRecord))
	near := f.startNear(fmt.Sprintf("[[service]]\nport = 9\ntarget = \"%v:9\"\npeers = [%q]\n[egress]\npeers = [%q]\nallow = [\"%v:50000-50009\"]\n",
		own, lab.GatewayName, lab.GatewayName, own))
	f.redirect(f.Site, "1024-65535")
	f.download("curl", curl("--disable-eprt", "--ftp-port", fmt.Sprintf("%v:50000-50009", own), "ftp://"+ftpName+"/file")...)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	f.must(near.Await(ctx, "stream finished", 1))
	if l := near.Lines("stream finished")[0]; l["peer"] != lab.GatewayName || l["error"] != nil {
		t.Errorf("the data connection: %v", l)
	}
	if len(f.gw.Failovers())+len(near.Failovers()) == 0 {
		t.Error("no failover: the cut came too late")
	}
}
