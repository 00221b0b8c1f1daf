package ftp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// announcements are what a client awaits after each of its announcements,
// "-": nothing.
func announcements(pieces ...string) string {
	var s scanner
	var all []string
	for _, p := range pieces {
		s.scan([]byte(p), func(at netip.AddrPort) {
			if all = append(all, "-"); at.IsValid() {
				all[len(all)-1] = at.String()
			}
		})
	}
	return strings.Join(all, " ")
}

func TestAnnouncements(t *testing.T) {
	for _, test := range []struct{ sent, want string }{
		{"USER anonymous\r\nPASS x\r\nPORT 10,1,1,2,195,80\r\nRETR file\r\n", "10.1.1.2:50000"},
		{"port 10,1,1,2,4,0\n", "10.1.1.2:1024"},
		{"EPRT |1|132.235.1.2|6275|\r\n", "132.235.1.2:6275"}, // RFC 2428 section 2
		{"EPRT |2|1080::8:800:200C:417A|5282|\r\n", "[1080::8:800:200c:417a]:5282"},
		{"EPRT |2|1111:2222:3333:4444:5555:6666:111.222.111.222|65535|\r\n", "[1111:2222:3333:4444:5555:6666:6fde:6fde]:65535"}, // the longest
		{"EPRT !1!10.1.1.2!50000!\r\n", "10.1.1.2:50000"},
		{"EPRT |1|10.1.1.2|50000|\r\nPORT 10,1,1,2,195,81\r\n", "10.1.1.2:50000 10.1.1.2:50001"},
		{"PORT 10,1,1,2,195,80\r\nEPSV\r\nPASV\r\n", "10.1.1.2:50000 - -"},
		{"\xff\xf4\xff\xf2ABOR\r\nPORT 10,1,1,2,195,80\r\n", "10.1.1.2:50000"}, // Telnet's IP and DM before it

		// The system's services, and addresses of no client.
		{"PORT 10,1,1,2,3,255\r\n", "-"},
		{"EPRT |1|10.1.1.2|22|\r\n", "-"},
		{"PORT 127,0,0,1,195,80\r\nPORT 0,0,0,0,195,80\r\nPORT 224,0,0,1,195,80\r\nEPRT |2|fe80::1|50000|\r\n", "- - - -"},

		// What is not quite an announcement.
		{"PORT\r\nPORT 10,1,1,2,195\r\nPORT 10,1,1,2,195,80,1\r\nPORT 10,1,1,256,195,80\r\nPORT 10,1,1,-2,195,80\r\nPORT  10,1,1,2,195,80\r\n", "- - - - - -"},
		{"EPRT\r\nEPRT 10.1.1.2\r\nEPRT |2|10.1.1.2|50000|\r\nEPRT |1|fd00::1|50000|\r\nEPRT |2|::ffff:10.1.1.2|50000|\r\nEPRT |1|10.1.1.2|114000|\r\nEPRT |1|10.1.1.2|50000|x\r\n", "- - - - - - -"},
		{"PORT 10,1,1,2,195,80" + strings.Repeat(" ", maxLine) + "\r\n", "-"},
		{"PORT 10,1,1,2,195,80", ""},
		{"CWD PORT 10,1,1,2,195,80\r\n", ""},

		// What no FTP client sends.
		{"POST / HTTP/1.1\r\nHost: ftp.example.net\r\n\r\nPORT 10,1,1,2,195,80\r\n", "-"},
		{"GET /\r\n\r\nPORT 10,1,1,2,195,80\r\n", "-"},
		{"\x16\x03\x01\x02\x00\n\r\nPORT 10,1,1,2,195,80\r\n", "-"},
		{"PORT 10,1,1,2,195,80\r\n<html>\r\nPORT 10,1,1,2,195,81\r\n", "10.1.1.2:50000 -"},
	} {
		if got := announcements(test.sent); got != test.want {
			t.Errorf("%q: %q, want %q", test.sent, got, test.want)
		}
	}
}

// FuzzAnnouncements: pieces mean what the whole does, an announcement is one
// that its text is too, and nothing without an end is kept.
func FuzzAnnouncements(f *testing.F) {
	f.Add([]byte("USER a\r\nPORT 10,1,1,2,195,80\r\n"), 7)
	f.Add([]byte("EPRT |2|fd00::1|50000|\r\nEPSV\r\n\xff\xf4ABOR\r\nGET /\n"), 1)
	f.Fuzz(func(t *testing.T, sent []byte, piece int) {
		whole := announcements(string(sent))
		piece = 1 + int(uint(piece)%16)
		var pieces []string
		for rest := string(sent); rest != ""; rest = rest[min(piece, len(rest)):] {
			pieces = append(pieces, rest[:min(piece, len(rest))])
		}
		if got := announcements(pieces...); got != whole {
			t.Fatalf("in pieces %q, as a whole %q", got, whole)
		}
		for _, a := range strings.Fields(whole) {
			if a == "-" {
				continue
			}
			at := netip.MustParseAddrPort(a)
			family := map[bool]int{true: 1, false: 2}[at.Addr().Is4()]
			if again := announcements(fmt.Sprintf("EPRT |%d|%v|%d|\r\n", family, at.Addr(), at.Port())); again != a || at.Port() < 1024 || !at.Addr().IsGlobalUnicast() {
				t.Fatalf("%s is announced, and again %s", a, again)
			}
		}
		var s scanner
		if s.scan(sent, func(netip.AddrPort) {}); len(s.line) > maxLine {
			t.Fatalf("%d octets are kept", len(s.line))
		}
	})
}

func TestControls(t *testing.T) {
	var all Controls[string]
	now := time.Now()
	at := netip.MustParseAddrPort("10.1.1.2:50000")
	said := []byte("PORT 10,1,1,2,195,80\r\n")
	everybody := func(string) bool { return true }
	want := func(why string, at netip.AddrPort, now time.Time, fits func(string) bool, want string) {
		t.Helper()
		if got, ok := all.Take(at, now, fits); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v, want %q", why, got, ok, want)
		}
	}
	a := all.Follow("a", nil)
	want("before it is announced", at, now, everybody, "")
	want("no address", netip.AddrPort{}, now, everybody, "")
	a.Saw(said, now)
	want("another port", netip.MustParseAddrPort("10.1.1.2:50001"), now, everybody, "")
	want("another host", netip.MustParseAddrPort("10.1.1.3:50000"), now, everybody, "")
	want("another owner", at, now, func(who string) bool { return who != "a" }, "")
	want("as announced", at, now, everybody, "a")
	want("a second time", at, now, everybody, "")
	a.Saw(said, now)
	want("as late as that", at, now.Add(lifetime-1), everybody, "a")
	a.Saw(said, now)
	want("too late", at, now.Add(lifetime), everybody, "")
	a.Saw(append(said, "PORT 10,1,1,2,195,81\r\n"...), now)
	want("what a later one has replaced", at, now, everybody, "")

	b := all.Follow("b", func(addr netip.Addr) bool { return addr != at.Addr() })
	a.Saw(said, now)
	b.Saw(said, now)
	want("beside one that may not announce it", at, now, everybody, "a")
	c := all.Follow("c", nil)
	a.Saw(said, now)
	c.Saw(said, now)
	want("announced by two", at, now, everybody, "")
	want("announced by two, again", at, now, everybody, "")
	a.Saw(said, now)
	a.Close()
	want("after the end of the control connection", at, now, everybody, "")
}
