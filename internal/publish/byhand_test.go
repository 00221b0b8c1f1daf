package publish

import (
	"testing"

	"github.com/miekg/dns"
)

const byHand = `300 1 gw.example.net. port="9899" key65280="\001\001" mandatory="key65280"`

// handWritten is a zone with a capability record as the documentation has it.
const handWritten = service + ` 300 IN SVCB 1 gw.example.net. port=9899 key65280="\001\001" mandatory=key65280` + "\n"

// A capability record that was entered by hand and says what this host's would
// stays as it was written, and is not withdrawn from here.
func TestHandWrittenStays(t *testing.T) {
	w := newWorld(t, handWritten)
	plan := w.publish(wanted("9.0.0.11"), 1)
	if len(plan.Notes) > 0 {
		t.Errorf("notes %q", plan.Notes)
	}
	w.has(service, "SVCB", byHand)
	w.has(service, "TXT", `300 "published-by=mh:here" "9.0.0.11"`)
	w.publish(wanted("9.0.0.11"), 0)
	w.publish(Withdrawal(host, self), 1)
	w.has(service, "SVCB", byHand)
}

// One that says something else stays too, alone, and the operator is told;
// the addresses are published all the same.
func TestHandWrittenDiffers(t *testing.T) {
	w := newWorld(t, handWritten)
	want := wanted("9.0.0.11")
	want.Cap.UDPPort = 9900
	plan := w.publish(want, 1)
	wantNote(t, plan, "was not published from here and stays, though it is not what this host speaks (SVCB 1 gw.example.net. mandatory=\"key65280\" port=\"9900\"")
	wantNote(t, plan, "have it replaced with --force")
	w.has(service, "SVCB", byHand)
	w.has(host, "A", "300 9.0.0.11")
	w.publish(want, 0)

	want.Force = true
	plan = w.publish(want, 1)
	wantChange(t, plan, `- `+service+` 300 IN SVCB 1 gw.example.net. mandatory="key65280" port="9899" key65280="\001\001"  ; entered by hand, replaced`)
	w.has(service, "SVCB", `300 1 gw.example.net. mandatory="key65280" port="9900" key65280="\001\001" key65281="\019\136"`)
	want.Force = false
	w.publish(want, 0)
	w.publish(Withdrawal(host, self), 1)
	w.has(service, "SVCB")
}

// A record that was entered by hand beside what was published is no reason to
// take that back.
func TestHandWrittenBeside(t *testing.T) {
	w := newWorld(t, "")
	w.publish(wanted("9.0.0.11"), 1)
	if err := w.dns.SetZone(soa + host + " 300 IN A 9.0.0.11\n" + service + ` 300 IN TXT "published-by=mh:here" "svcb=9899" "9.0.0.11"` + "\n" +
		service + ` 300 IN SVCB 1 gw.example.net. mandatory="key65280" port="9899" key65280="\001\001" key65281="\019\136"` + "\n" +
		service + ` 300 IN SVCB 2 gw.example.net. port=9900 key65280="\001\001"` + "\n"); err != nil {
		t.Fatal(err)
	}
	w.publish(wanted("9.0.0.11"), 0)
}

// Of several that were entered by hand one that says what this host would is
// enough.
func TestHandWrittenTwice(t *testing.T) {
	w := newWorld(t, handWritten+service+` 300 IN SVCB 9 gw.example.net. port=9950 key65280="\001\001"`+"\n")
	if plan := w.publish(wanted("9.0.0.11"), 1); len(plan.Notes) > 0 {
		t.Errorf("notes %q", plan.Notes)
	}
}

// The same in the other form.
func TestHandWrittenText(t *testing.T) {
	w := newWorld(t, service+` 300 IN TXT "v=mh1 udp=9899 f=1"`+"\n")
	w.publish(wanted("9.0.0.11"), 1)
	marker := `300 "published-by=mh:here" "svcb=9899" "9.0.0.11"`
	w.has(service, "TXT", marker, `300 "v=mh1 udp=9899 f=1"`)
	want := wanted("9.0.0.11")
	want.TXT = true
	w.publish(want, 0) // it says the same
	want.Cap.UDPPort = 9900
	plan := w.publish(want, 1)
	wantNote(t, plan, `_mhsctp.gw.example.net. 300 IN TXT "v=mh1 udp=9899 f=1" was not published from here and stays`)
	want.Force = true
	w.publish(want, 1)
	w.has(service, "TXT", `300 "published-by=mh:here" "svcb=9900" "txt=9900" "9.0.0.11"`, `300 "v=mh1 udp=9900 sctp=5000 f=1"`)
}

// A record for other hosts is no record of this one, even with --force.
func TestForceIsForThisHost(t *testing.T) {
	w := newWorld(t, foreign)
	want := wanted("9.0.0.11")
	want.Force = true
	w.publish(want, 1)
	w.has(service, "SVCB", "60 "+svcb[len("300 "):], `60 2 other.example.net. port="9899" key65280="\001\001"`)
	w.has(host, "A", "60 9.0.0.11", "60 9.0.0.98", "60 9.0.0.99")
}

// What is left out of a record is what the documentation says it is then.
func TestMeaning(t *testing.T) {
	parse := func(s string) dns.RR {
		t.Helper()
		rr, err := dns.NewRR(service + " 300 IN " + s)
		if err != nil {
			t.Fatal(err)
		}
		return rr
	}
	own := wanted("9.0.0.1").service()[0]
	for s, same := range map[string]bool{
		`SVCB 1 gw.example.net. key65280="\001\001"`:                                                       true,
		`SVCB 7 . port=9899 key65280="\001\001" key65281="\019\136" mandatory=key65280,port`:               true,
		`SVCB 1 gw.example.net. key65280="\001\001" ipv4hint=9.0.0.1 ipv6hint=2a00::1`:                     true,
		`SVCB 1 gw.example.net. port=9900 key65280="\001\001"`:                                             false,
		`SVCB 1 gw.example.net. port=9899`:                                                                 false,
		`SVCB 1 gw.example.net. port=9899 key65280="\001\003"`:                                             false,
		`SVCB 1 gw.example.net. port=9899 key65280="\001\001" key65281="\019\137"`:                         false,
		`SVCB 1 gw.example.net. port=9899 key65280="\001\001" key65282="abcdefghabcdefghabcdefghabcdefgh"`: false,
	} {
		if got := sameMeaning(parse(s), own); got != same {
			t.Errorf("%s: %v, want %v", s, got, same)
		}
	}
	text := &Want{Name: host, Cap: wanted().Cap, TXT: true}
	for s, same := range map[string]bool{
		`TXT "v=mh1 f=1"`: true, `TXT "v=mh1 f=1 udp=9899" " sctp=5000"`: true, `TXT "v=mh1"`: false, `TXT "v=mh1 f=1 udp=9900"`: false, `TXT "v=mh1 f=1 sctp=5001"`: false,
	} {
		if got := sameMeaning(parse(s), text.text()[0]); got != same {
			t.Errorf("%s: %v, want %v", s, got, same)
		}
	}
	for s, want := range map[string]string{
		`SVCB 1 gw.example.net. port=1`: "svcb=1", `SVCB 1 GW.example.NET. port=1`: "svcb=1", `SVCB 1 .`: "svcb=9899", `SVCB 0 gw.example.net.`: "",
		`SVCB 1 www.example.net. port=1`: "", `TXT "v=mh1"`: "txt=9899", `TXT "v=mh1 udp=7"`: "txt=7", `TXT "v=mh10 udp=7"`: "", `A 9.0.0.1`: "9.0.0.1",
	} {
		if got := itemOf(parse(s), host); got != want {
			t.Errorf("%s: item %q, want %q", s, got, want)
		}
	}
}
