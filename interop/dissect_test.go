package interop

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tshark's settings: every checksum is computed, user data is not looked into.
var sharkOptions = []string{
	"-n", "-d", fmt.Sprintf("udp.port==%d,sctp", sctpOverUDP),
	"-o", "sctp.checksum:CRC 32c", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
	"-o", "sctp.ulp_dissection:FALSE", "-o", "sctp.reassembly:FALSE", "-o", "sctp.tsn_analysis:FALSE",
}

// suspect is a display filter for frames that somebody got wrong. A status of
// 0 is a bad checksum.
const suspect = `_ws.malformed || _ws.expert.severity == error || sctp.checksum.status == 0 || udp.checksum.status == 0 || ip.checksum.status == 0`

// dissect has tshark look at a capture and returns a line for each frame that
// is wrong, with its number.
func dissect(path string) (wrong []string, err error) {
	args := append([]string{"-r", path, "-Y", suspect, "-T", "fields", "-E", "separator=|", "-e", "frame.number", "-e", "_ws.col.Info", "-e", "_ws.expert.message"}, sharkOptions...)
	cmd := exec.Command("tshark", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("tshark of %s: %w: %s", path, err, stderr.String())
	}
	for line := range strings.Lines(string(out)) {
		wrong = append(wrong, "frame "+strings.TrimSpace(line))
	}
	return wrong, nil
}

// dissect fails the scenario for what is wrong on the wires.
func (s *scene) dissect(c *capture) {
	s.Helper()
	wrong, err := dissect(c.path)
	if err != nil {
		s.fail("%v", err)
	}
	const show = 5
	for _, w := range wrong[:min(show, len(wrong))] {
		s.fail("%s: %s", c.path, w)
	}
	if len(wrong) > show {
		s.fail("%s: and %d further frames", c.path, len(wrong)-show)
	}
}

// The dissector finds what it is there for.
func testDissector(t *testing.T) {
	c, err := newCapture(filepath.Join(t.TempDir(), "bad.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	bad := sctpFrame(chunkDATA) // neither a checksum nor a TSN
	c.add(time.Unix(1, 0), bad)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	wrong, err := dissect(c.path)
	if err != nil || len(wrong) != 1 || !strings.HasPrefix(wrong[0], "frame 1|") {
		t.Errorf("found %q, %v", wrong, err)
	}
}
