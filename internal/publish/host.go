package publish

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sctpmh/mh/noid"
)

// A HostID tells the hosts apart that publish at one name. It is in the DNS
// for everybody to read, so it must say nothing of the host but that it is the
// same one.
type HostID string

// Unnamed stands for whichever host published with a version of mh whose
// records did not say which one it was.
const Unnamed HostID = "unnamed"

// maxHostID is the length of a label: more would be no name but something that
// was put there to make updates large.
const maxHostID = 63

// ParseHostID reads what an operator has named a host.
func ParseHostID(s string) (HostID, error) {
	strange := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	}
	switch {
	case s == "" || len(s) > maxHostID || strings.ContainsFunc(s, strange):
		return "", fmt.Errorf("host id %q: want 1 to %d letters, digits, hyphens, underscores and dots", s, maxHostID)
	case HostID(s) == Unnamed:
		return "", fmt.Errorf("host id %q: that stands for hosts without one", s)
	}
	return HostID(s), nil
}

// machineFiles hold a random number of this installation (machine-id(5)).
var machineFiles = []string{"/etc/machine-id", "/var/lib/dbus/machine-id"}

// OwnID is the id of this host at a name unless the operator sets one. It stays
// as long as the installation does.
func OwnID(n noid.Name) (HostID, error) { return ownID(n, machineFiles) }

func ownID(n noid.Name, files []string) (HostID, error) {
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if id := strings.TrimSpace(string(text)); len(id) == 2*machineOctets {
			if machine, err := hex.DecodeString(id); err == nil {
				return deriveID(machine, n), nil
			}
		}
	}
	return "", errors.New("this host has no machine-id to tell it from others that publish the name: run systemd-machine-id-setup, or name it with --host-id")
}

const machineOctets = 16

// deriveID makes an id of a machine's secret. machine-id(5) forbids to show
// the number itself; it is the key of a hash, and has 128 random bits, so it
// cannot be found by trying. The name is hashed with it: of two names nobody
// sees that they are of one host. 48 bits keep apart the few hosts of a name,
// and can be typed.
func deriveID(machine []byte, n noid.Name) HostID {
	h := hmac.New(sha256.New, machine)
	h.Write([]byte("mh dns publish " + string(n)))
	return HostID(hex.EncodeToString(h.Sum(nil)[:6]))
}
