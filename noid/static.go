package noid

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// static is the operator's file: names that are known without the DNS.
//
//	h1.example.net  udp=9899 ver=1 flags=3  2001:db8:a::11 192.0.2.11,20
//	zone private    corp.example  10.0.0.0/8 fd00::/8
//	deny            203.0.113.0/24
//
// The hosts file of the system adds names that have addresses only.
//
// Invariant: it is not changed once it is in use; see files.
type static struct {
	hosts map[Name]*staticHost
	at    map[netip.Addr][]Name // who has an address, in the order of the alphabet, so that it is always the same
	zones []Zone
	deny  []netip.Prefix
}

type staticHost struct {
	cap      *Capability
	locators []Locator
	merge    bool // adds to the DNS instead of standing for it
	system   bool // from the system's file
}

func newStatic() *static {
	return &static{hosts: make(map[Name]*staticHost), at: make(map[netip.Addr][]Name)}
}

func (s *static) parse(r io.Reader, file string) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		var err error
		switch words[0] {
		case "zone":
			err = s.parseZone(words[1:])
		case "deny":
			err = s.parseDeny(words[1:])
		default:
			err = s.parseHost(words)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	s.index()
	return nil
}

// index fills at. The system's file ties no name to a peer that claims none:
// it is there for names to be found.
func (s *static) index() {
	clear(s.at)
	for _, n := range slices.Sorted(maps.Keys(s.hosts)) {
		if h := s.hosts[n]; !h.merge && !h.system {
			for _, l := range h.locators {
				s.at[l.Addr] = append(s.at[l.Addr], n)
			}
		}
	}
}

// parseSystem reads the hosts file of the system: an address and names on each
// line. What is not for us there, such as localhost, is passed over. A name
// whose only address is unspecified is blocked by that, as with libc.
func (s *static) parseSystem(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		a, err := netip.ParseAddr(words[0])
		if err != nil || a.Zone() != "" {
			continue
		}
		for _, w := range words[1:] {
			s.addSystem(w, a.Unmap())
		}
	}
}

func (s *static) addSystem(word string, a netip.Addr) {
	n, err := ParseName(word)
	if err != nil {
		return
	}
	h := s.hosts[n]
	if h == nil {
		h = &staticHost{system: true}
		s.hosts[n] = h
	}
	if h.system && len(h.locators) < maxLocators && !a.IsUnspecified() {
		h.locators = append(h.locators, Locator{Addr: a, From: FromStatic})
	}
}

func (s *static) parseZone(words []string) error {
	if len(words) < 3 || words[0] != "private" {
		return fmt.Errorf("zone: want zone private NAME and one or more prefixes")
	}
	prefixes, err := parsePrefixes(words[2:])
	if err != nil {
		return err
	}
	z, err := NewZone(words[1], prefixes)
	if err == nil {
		s.zones = append(s.zones, z)
	}
	return err
}

func (s *static) parseDeny(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("deny: want one or more prefixes")
	}
	prefixes, err := parsePrefixes(words)
	s.deny = append(s.deny, prefixes...)
	return err
}

func parsePrefixes(words []string) (out []netip.Prefix, err error) {
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			return nil, fmt.Errorf("%q: want a prefix such as 10.0.0.0/8", w)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// NewZone returns a zone below which private addresses are expected.
func NewZone(name string, prefixes []netip.Prefix) (Zone, error) {
	n, err := ParseName(name)
	return Zone{Name: n, Prefixes: prefixes}, err
}

func (s *static) parseHost(words []string) error {
	name, err := ParseName(words[0])
	if err != nil {
		return err
	}
	h := &staticHost{}
	c := Capability{Target: name, UDPPort: DefaultUDPPort, SCTPPort: defaultSCTPPort, Version: capabilityVersion, Flags: FlagEmul, Via: "static", Prio: 1}
	for _, w := range words[1:] {
		switch {
		case w == "merge":
			h.merge = true
		case strings.Contains(w, "="):
			if err := c.parseWord(w); err != nil {
				return err
			}
			h.cap = &c
		default:
			l, err := parseLocator(w)
			if err != nil {
				return err
			}
			h.locators = append(h.locators, l)
		}
	}
	if len(h.locators) == 0 && !h.merge {
		return fmt.Errorf("%s has no address", name)
	}
	if len(h.locators) > maxLocators {
		return fmt.Errorf("%s has %d addresses, at most %d are used", name, len(h.locators), maxLocators)
	}
	s.hosts[name] = h
	return nil
}

// parseLocator reads ADDRESS[,PRIORITY[,WEIGHT]].
func parseLocator(w string) (Locator, error) {
	parts := strings.Split(w, ",")
	a, err := netip.ParseAddr(parts[0])
	if err != nil || len(parts) > 3 || a.Zone() != "" {
		return Locator{}, fmt.Errorf("%q: want ADDRESS[,PRIORITY[,WEIGHT]] or KEY=VALUE", w)
	}
	l := Locator{Addr: a.Unmap(), From: FromStatic}
	for i, p := range parts[1:] {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return Locator{}, fmt.Errorf("%q: priority and weight are numbers up to 65535", w)
		}
		if i == 0 {
			l.Prio = uint16(n)
		} else {
			l.Weight = uint16(n)
		}
	}
	return l, nil
}
