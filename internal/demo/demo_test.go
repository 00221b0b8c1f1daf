package demo

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/lab"
)

// receive writes the file to a meter in pieces, with a pause before each.
func receive(t *testing.T, m *meter, pieces int, pause time.Duration) {
	t.Helper()
	file, err := io.ReadAll(content(m.size))
	if err != nil {
		t.Fatal(err)
	}
	for i := range pieces {
		time.Sleep(pause) // virtual
		from, to := len(file)*i/pieces, len(file)*(i+1)/pieces
		if n, err := m.Write(file[from:to]); n != to-from || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
}

func TestMeterOfAWholeDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(1000)
		receive(t, m, 10, 70*time.Millisecond)
		time.Sleep(time.Minute) // after the end nothing is a stall
		got, equal, stall, duration := m.result()
		if got != 1000 || !equal || stall != 70 || duration != 700 {
			t.Errorf("%d octets, equal %v, stall %d ms, %d ms in all; want 1000, true, 70, 700", got, equal, stall, duration)
		}
		if _, pause := m.progress(); pause != 0 {
			t.Errorf("paused for %v after the end", pause)
		}
	})
}

func TestMeterOfADownloadThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(1000)
		m.Write(make([]byte, 10))
		time.Sleep(5 * time.Second)
		if got, pause := m.progress(); got != 10 || pause != 5*time.Second {
			t.Errorf("progress: %d octets, paused for %v", got, pause)
		}
		if got, equal, stall, _ := m.result(); got != 10 || equal || stall != 5000 {
			t.Errorf("%d octets, equal %v, stall %d ms; want 10, false, 5000", got, equal, stall)
		}
	})
}

func TestMeterOfADownloadThatNeverStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(1000)
		time.Sleep(3 * time.Second)
		if _, equal, stall, duration := m.result(); equal || stall != 3000 || duration != 3000 {
			t.Errorf("equal %v, stall %d ms, %d ms in all; want false, 3000, 3000", equal, stall, duration)
		}
	})
}

// One wrong octet, or one too many, makes the hash another.
func TestMeterFindsWrongOctets(t *testing.T) {
	for _, test := range []struct {
		what  string
		spoil func([]byte) []byte
	}{
		{"an octet changed", func(b []byte) []byte { b[500] ^= 1; return b }},
		{"an octet lost", func(b []byte) []byte { return append(b[:500], b[501:]...) }},
		{"an octet too many", func(b []byte) []byte { return append(b, 0) }},
	} {
		m := newMeter(1000)
		file, err := io.ReadAll(content(1000))
		if err != nil {
			t.Fatal(err)
		}
		m.Write(test.spoil(file))
		if _, equal, _, _ := m.result(); equal {
			t.Errorf("%s: the hash is equal", test.what)
		}
	}
}

func TestMeterAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(1000)
		ctx, cancel := context.WithCancel(t.Context())
		reached := make(chan bool, 2)
		go func() { // ends at octet 300, then with ctx
			reached <- m.await(ctx, 300)
			reached <- m.await(ctx, 1001)
		}()
		m.Write(make([]byte, 299))
		synctest.Wait()
		if len(reached) != 0 {
			t.Fatal("299 octets passed for 300")
		}
		m.Write(make([]byte, 1))
		if !<-reached {
			t.Fatal("300 octets did not")
		}
		cancel()
		if <-reached {
			t.Error("reached more than came")
		}
	})
}

// Whatever the size, the first provider is back before the second goes, a
// failover fits into each darkness, and a download that runs has time to end.
func TestSchedule(t *testing.T) {
	for _, size := range []int64{MinSize, 60_000_000, 120_000_000, 1_000_000_000, MaxSize} {
		o := Options{Size: size}
		between := time.Duration((cuts[1] - cuts[0]) * float64(o.ideal()))
		if d := o.darkness(); d < 500*time.Millisecond || d > between/2+time.Millisecond || d > 4*time.Second {
			t.Errorf("%d octets: dark for %v, %v between the cuts", size, d, between)
		}
		if o.patience() < o.ideal()+20*time.Second {
			t.Errorf("%d octets: patience of %v for %v", size, o.patience(), o.ideal())
		}
	}
	if p := (Options{Size: 120_000_000}).patience(); p > 80*time.Second {
		t.Errorf("the demo as it is run takes up to %v", p)
	}
}

func TestVerdict(t *testing.T) {
	good := Verdict{Bytes: 1000, HashEqual: true, LongestStallMS: 1000}
	if !good.survived(1000) {
		t.Error("a good download did not survive")
	}
	for what, spoil := range map[string]func(*Verdict){
		"octets are missing":  func(v *Verdict) { v.Bytes-- },
		"the hash is another": func(v *Verdict) { v.HashEqual = false },
		"a stall is long":     func(v *Verdict) { v.LongestStallMS++ },
		"there was an error":  func(v *Verdict) { v.Error = "reset" },
	} {
		v := good
		if spoil(&v); v.survived(1000) {
			t.Errorf("survived although %s", what)
		}
	}
}

// Where there is no terminal, the screen is plain lines.
func TestScreenWithoutTerminal(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(Options{Out: &out})
	m := newMeter(1000)
	m.Write(make([]byte, 250))
	s.say("--- ISP %s goes silent\n", "A")
	s.show([2]float64{0.5, 1.2}, m)
	s.verdict(Verdict{Transport: "mh", Client: "curl", Bytes: 999, DurationMS: 20_800, LongestStallMS: 1223, Failovers: 1, Error: "reset",
		Moves: []lab.Failover{{From: "a>b", To: "c>d", Cause: "timeout", StallMS: 148.4}}})
	s.verdict(Verdict{Transport: "tcp", Client: "go", Bytes: 1000, HashEqual: true, OK: true})
	want := `--- ISP A goes silent
A [##########..........]  B [####################]   25 %
FAILED over mh (curl): 999 bytes in 20.8 s, SHA-256 NOT equal, longest stall 1223 ms, 1 failovers: reset
    a>b -> c>d (timeout), 148 ms without progress
held over tcp (go): 1000 bytes in 0.0 s, SHA-256 equal, longest stall 0 ms
`
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// On a terminal the bars are drawn over one another, and lines above them.
func TestScreenOnATerminal(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(Options{Out: &out})
	s.live = true
	m := newMeter(1000)
	s.show([2]float64{0, 0}, m)
	s.show([2]float64{1, 0}, m)
	s.say("line\n")
	s.say("line\n")
	const clear = "\r\x1b[K"
	none, full := strings.Repeat(".", barWidth), strings.Repeat("#", barWidth)
	want := clear + "A [" + none + "]  B [" + none + "]    0 %" +
		clear + "A [" + full + "]  B [" + none + "]    0 %" + clear + "line\nline\n"
	if got := out.String(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestScreenIsEmptyForJSON(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(Options{Out: &out, JSON: true})
	s.say("line\n")
	s.show([2]float64{}, newMeter(1000))
	s.verdict(Verdict{})
	if out.Len() > 0 {
		t.Errorf("printed %q", out.String())
	}
}

func TestAdvice(t *testing.T) {
	args := []string{"bin/mh", "demo", "--json"}
	if got := advice(1000, args); !strings.Contains(got, "\n\tsudo bin/mh demo --json\n") {
		t.Errorf("to a user: %q", got)
	}
	if got := advice(0, args); strings.Contains(got, "sudo") || !strings.Contains(got, "--privileged") {
		t.Errorf("to root: %q", got)
	}
}
