package noid

import (
	"bufio"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A resolvConf is what a resolv.conf says (resolv.conf(5)).
type resolvConf struct {
	servers servers
	search  []string
	ndots   int
}

// SystemUpstreams reads the servers of a resolv.conf.
func SystemUpstreams(file string) ([]Upstream, error) {
	c, err := readResolvConf(file)
	return c.servers.list, err
}

// SystemSearch reads what a resolv.conf has relative names completed with: the
// domains, and how many dots a name needs to be tried as it is first.
func SystemSearch(file string) (domains []string, dots int, err error) {
	c, err := readResolvConf(file)
	return c.search, c.ndots, err
}

func readResolvConf(file string) (resolvConf, error) {
	f, err := os.Open(file)
	if err != nil {
		return resolvConf{}, err
	}
	defer f.Close()
	return parseResolvConf(io.LimitReader(f, maxConf)), nil
}

// parseResolvConf reads a resolv.conf as libc does: what it does not understand
// it passes over, and of what is said twice the latter holds. The option
// trust-ad says that the servers and the way to them are trusted (glibc 2.31).
func parseResolvConf(r io.Reader) resolvConf {
	c := resolvConf{ndots: 1, servers: servers{timeout: queryTimeout, tries: queryTries}}
	trust, proto := false, ProtoUDP
	for lines := bufio.NewScanner(r); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || strings.ContainsAny(words[0][:1], "#;") {
			continue
		}
		switch words[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(words[1]); err == nil && len(c.servers.list) < maxUpstreams {
				c.servers.list = append(c.servers.list, Upstream{Addr: netip.AddrPortFrom(a, 53)})
			}
		case "search":
			c.search = domains(words[1:])
		case "domain":
			c.search = domains(words[1:2])
		case "options":
			for _, o := range words[1:] {
				switch o {
				case "trust-ad":
					trust = true
				case "use-vc":
					proto = ProtoTCP
				default:
					c.option(o)
				}
			}
		}
	}
	for i := range c.servers.list {
		up := &c.servers.list[i]
		up.TrustAD = trust
		up.Proto = proto
	}
	return c
}

// domains keeps the domains of a list that can be ones.
func domains(words []string) (out []string) {
	for _, w := range words {
		if n, err := ParseName(w); err == nil && len(out) < maxSearch {
			out = append(out, string(n))
		}
	}
	return out
}

// option reads an option that has a number, NAME:NUMBER, no greater than libc
// would have it.
func (c *resolvConf) option(s string) {
	name, value, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return
	}
	switch name {
	case "ndots":
		c.ndots = int(min(n, maxNdots))
	case "timeout":
		c.servers.timeout = max(1, time.Duration(min(n, uint64(maxTimeout/time.Second)))) * time.Second
	case "attempts":
		c.servers.tries = int(max(1, min(n, maxAttempts)))
	}
}

// A confFile is a resolv.conf that is read anew when it has changed: a host
// that comes to another network is given other servers.
//
// mu is held across reads of the file.
type confFile struct {
	name string

	mu      sync.Mutex
	conf    resolvConf
	changed time.Time // the file's, at the last read
	looked  time.Time
}

// followConf reads a resolv.conf for the first time. After an error it is read
// when it comes to be.
func followConf(name string) (*confFile, error) {
	f := &confFile{name: name, looked: time.Now()}
	info, err := os.Stat(name)
	if err != nil {
		return f, err
	}
	f.changed = info.ModTime()
	f.conf, err = readResolvConf(name)
	return f, err
}

// current returns what the file says, or last said if it cannot be read: one
// that is being replaced is not there for a moment.
func (f *confFile) current() resolvConf {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.looked) < confPoll {
		return f.conf
	}
	f.looked = now
	info, err := os.Stat(f.name)
	if err != nil || info.ModTime().Equal(f.changed) {
		return f.conf
	}
	if c, err := readResolvConf(f.name); err == nil {
		f.conf, f.changed = c, info.ModTime()
	}
	return f.conf
}
