package proxy

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
)

// little is a table as a machine with little-endian words has it.
const little = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:C350 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 00000000:C351 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 2 1 0 100 0 0 10 0
   2: 0100007F:9C40 0100007F:0438 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 20 4 30 10 -1
   3: 0100007F:0438 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     7        0 4 1 0 20 4 30 10 -1
   4: 0100007F:9C41 0100007F:0438 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   0: 00000000000000000000000000000000:C352 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1002        0 5 1 0 100 0 0 10 0
`

func TestAwaitsHere(t *testing.T) {
	own := func(a netip.Addr) bool { return a.IsLoopback() || a == netip.MustParseAddr("192.0.2.10") }
	sock := func(local, remote string, state byte, user uint32) socket {
		return socket{netip.MustParseAddrPort(local), netip.MustParseAddrPort(remote), state, user}
	}
	c := control{client: netip.MustParseAddrPort("127.0.0.1:40000"), proxy: netip.MustParseAddrPort("127.0.0.1:1080")}
	stream := sock("127.0.0.1:40000", "127.0.0.1:1080", tcpEstablished, 1000)
	for _, test := range []struct {
		what      string
		others    []socket
		announced string
		want      string // "": refused
	}{
		{"at the announced address", []socket{sock("192.0.2.10:50000", "0.0.0.0:0", tcpListen, 1000)}, "192.0.2.10:50000", "192.0.2.10:50000"},
		{"at all addresses", []socket{sock("0.0.0.0:50000", "0.0.0.0:0", tcpListen, 1000)}, "192.0.2.10:50000", "192.0.2.10:50000"},
		{"at all addresses of both families", []socket{sock("[::]:50000", "[::]:0", tcpListen, 1000)}, "192.0.2.10:50000", "192.0.2.10:50000"},
		{"at the address by which it comes", []socket{sock("127.0.0.1:50000", "0.0.0.0:0", tcpListen, 1000)}, "192.0.2.10:50000", "127.0.0.1:50000"},
		{"behind a translator", []socket{sock("0.0.0.0:50000", "0.0.0.0:0", tcpListen, 1000)}, "203.0.113.1:50000", "127.0.0.1:50000"},
		{"nowhere", nil, "192.0.2.10:50000", ""},
		{"at another port", []socket{sock("192.0.2.10:50001", "0.0.0.0:0", tcpListen, 1000)}, "192.0.2.10:50000", ""},
		{"as another user", []socket{sock("192.0.2.10:50000", "0.0.0.0:0", tcpListen, 1001)}, "192.0.2.10:50000", ""},
		{"at all addresses, another user at the very one", []socket{sock("0.0.0.0:50000", "0.0.0.0:0", tcpListen, 1000), sock("192.0.2.10:50000", "0.0.0.0:0", tcpListen, 1001)}, "192.0.2.10:50000", "127.0.0.1:50000"},
		{"another user at all addresses, before it of both families", []socket{sock("[::]:50000", "[::]:0", tcpListen, 1000), sock("0.0.0.0:50000", "0.0.0.0:0", tcpListen, 1001)}, "192.0.2.10:50000", ""},
		{"no listening socket", []socket{sock("192.0.2.10:50000", "192.0.2.1:9", tcpEstablished, 1000)}, "192.0.2.10:50000", ""},
	} {
		got, err := c.awaitsHere(append(test.others, stream), own, netip.MustParseAddrPort(test.announced))
		if (err == nil) != (test.want != "") || err == nil && got.String() != test.want {
			t.Errorf("%s: %v, %v, want %q", test.what, got, err, test.want)
		}
	}
	at := netip.MustParseAddrPort("192.0.2.10:50000")
	for what, end := range map[string]socket{
		"gone":                   sock("127.0.0.1:40001", "127.0.0.1:1080", tcpEstablished, 1000),
		"closing":                sock("127.0.0.1:40000", "127.0.0.1:1080", 6, 1000),
		"to somewhere else":      sock("127.0.0.1:40000", "127.0.0.1:1081", tcpEstablished, 1000),
		"of an unknown user":     sock("127.0.0.1:40000", "127.0.0.1:1080", tcpEstablished, unknownUser),
		"of another one's, root": sock("127.0.0.1:40000", "127.0.0.1:1080", tcpEstablished, 0),
	} {
		for _, user := range []uint32{1000, unknownUser} {
			if to, err := c.awaitsHere([]socket{end, sock("0.0.0.0:50000", "0.0.0.0:0", tcpListen, user)}, own, at); err == nil {
				t.Errorf("the client's connection is %s: %v", what, to)
			}
		}
	}
}

// The kernel's tables are read as it means them.
func TestAllSockets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := allSockets()
	if err != nil {
		t.Fatal(err)
	}
	here := addrPort(l.Addr())
	if user, ok := listener(all, here); !ok || int(user) != os.Getuid() {
		t.Errorf("user %d, %v, listens at %v", user, ok, here)
	}
	if user, ok := client(all, addrPort(c.LocalAddr()), here); !ok || int(user) != os.Getuid() {
		t.Errorf("user %d, %v, has the connection from %v", user, ok, c.LocalAddr())
	}
}

func FuzzSockets(f *testing.F) {
	f.Add([]byte(little))
	f.Add([]byte("0: :0 00:0 0 0 0 0 0\n"))
	f.Fuzz(func(t *testing.T, table []byte) {
		all := slices.Collect(sockets(table))
		for _, s := range all {
			if !s.local.IsValid() || !s.remote.IsValid() || s.local.Addr().Is4In6() {
				t.Fatalf("%+v", s)
			}
		}
		one := func() (out []socket) {
			for s := range sockets(table) {
				return append(out, s)
			}
			return nil
		}()
		if len(one) != min(1, len(all)) || len(one) == 1 && one[0] != all[0] {
			t.Fatalf("the first is %v, of %v", one, all)
		}
	})
}
