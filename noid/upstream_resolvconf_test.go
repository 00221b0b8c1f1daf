package noid

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A resolv.conf is read as libc reads it.
func TestResolvConf(t *testing.T) {
	for _, test := range []struct {
		text, servers, search string
		ndots                 int
		timeout               time.Duration
		tries                 int
		ad                    bool
	}{
		{"", "", "", 1, queryTimeout, queryTries, false},
		{
			"# nameserver 192.0.2.9\n; nameserver 192.0.2.9\nnameserver 192.0.2.1 # comment\n\tnameserver\t2001:db8::1\nnameserver fe80::1%eth0\nnameserver 192.0.2.4\nnameserver nonsense\nnameserver\n",
			"udp://192.0.2.1:53 udp://[2001:db8::1]:53 udp://[fe80::1%eth0]:53", "", 1, queryTimeout, queryTries, false,
		},
		{
			"domain Example.NET\nsearch a.example b.example ..\nnameserver 127.0.0.1\noptions ndots:3 timeout:2 attempts:2 trust-ad rotate\n",
			"udp://127.0.0.1:53", "a.example. b.example.", 3, 2 * time.Second, 2, true,
		},
		{
			"search a.example\ndomain b.example c.example\noptions use-vc\noptions ndots:99 timeout:99 attempts:99\nnameserver 127.0.0.1\n",
			"tcp://127.0.0.1:53", "b.example.", maxNdots, maxTimeout, maxAttempts, false,
		},
		{"options ndots:0 timeout:0 attempts:0 timeout:-1 ndots:x ndots\nsearch 1. 2. 3. 4. 5. 6. 7. 8.\n", "", "1. 2. 3. 4. 5. 6.", 0, time.Second, 1, false},
	} {
		c := parseResolvConf(strings.NewReader(test.text))
		var list []string
		for _, up := range c.servers.list {
			list = append(list, up.String())
			if up.TrustAD != test.ad {
				t.Errorf("%q: %v: AD is believed: %v", test.text, up, up.TrustAD)
			}
		}
		want(t, test.text, strings.Join(list, " "), test.servers)
		want(t, test.text, strings.Join(c.search, " "), test.search)
		if c.ndots != test.ndots || c.servers.timeout != test.timeout || c.servers.tries != test.tries {
			t.Errorf("%q: %+v", test.text, c)
		}
	}
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.53\nnameserver ::1\noptions edns0 trust-ad ndots:2 timeout:3 attempts:4\nsearch a.example b.example\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseResolvConf(strings.NewReader(text))
		s := c.servers
		if len(s.list) > maxUpstreams || len(c.search) > maxSearch || c.ndots < 0 || c.ndots > maxNdots ||
			s.timeout < time.Second || s.timeout > maxTimeout || s.tries < 1 || s.tries > maxAttempts {
			t.Errorf("%+v", c)
		}
	})
}

// A file that changes is read anew, within confPoll; one that is away or
// broken leaves what was said last.
func TestResolvConfChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	synctest.Test(t, func(t *testing.T) {
		changed := time.Now()
		write := func(n int) {
			if err := os.WriteFile(file, fmt.Appendf(nil, "nameserver 192.0.2.%d\n", n), 0o600); err != nil {
				t.Fatal(err)
			}
			changed = changed.Add(time.Second)
			if err := os.Chtimes(file, changed, changed); err != nil { // the bubble's clock is not the kernel's
				t.Fatal(err)
			}
		}
		conf, err := followConf(file)
		if err == nil {
			t.Fatal("there is a file")
		}
		says := func(why, server string) {
			t.Helper()
			got := ""
			for _, up := range conf.current().servers.list {
				got += up.Addr.Addr().String()
			}
			want(t, why, got, server)
		}
		says("no file", "")
		write(1)
		time.Sleep(confPoll)
		says("it has come to be", "192.0.2.1")
		write(2)
		says("it is not looked at all the time", "192.0.2.1")
		time.Sleep(confPoll)
		says("it has changed", "192.0.2.2")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(confPoll)
		says("it is away", "192.0.2.2")
	})
}

// The servers that are asked are those of the file at the time, and with
// consistency demanded, each of them.
func TestServersChange(t *testing.T) {
	inBubble(t, twoServers, func(s *serversTest) {
		s.serve("udp 192.0.2.1:53", after(0, "9.0.0.1"))
		s.serve("udp 192.0.2.2:53", after(0, "9.0.0.2"))
		s.want("the first", "a.example", "9.0.0.1", 0)
		s.list = slices.Clone(s.list[1:])
		s.want("the first of others", "a.example", "9.0.0.2", 0)
		s.list = nil
		s.wantFailure("there are none", "a.example", ErrTimeout, 0)
	})
	two := servers{list: []Upstream{{Name: "a."}, {Name: "b."}}}
	for i, name := range []Name{"a.", "b.", "b."} {
		if got := two.only(i).list; len(got) != 1 || got[0].Name != name {
			t.Errorf("%d: %v", i, got)
		}
	}
	if got := (servers{}).only(1).list; len(got) != 0 {
		t.Error(got)
	}
}
