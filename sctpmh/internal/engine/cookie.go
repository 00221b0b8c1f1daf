package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A stateCookie is all that the accepting side knows of an association before
// it exists (RFC 9260 section 5.1.3). It travels to the dialer and back, so
// that an INIT costs no memory. The MAC binds it to the ports, to the
// addresses of both sides, UDP ports included, and to its time: a cookie that
// comes from elsewhere, or late, or twice, makes nothing (RFC 5062 sections 6
// and 7).
type stateCookie struct {
	made                Time
	on                  Pair
	localTag, peerTag   wire.Tag
	ties                tieTags // of the association that there was already, else 0
	localTSN, peerTSN   wire.TSN
	rwnd                uint32
	peerOut, peerIn     uint16
	localPort, peerPort uint16
	adaptation          uint32
	ecn                 bool
	borrowed            bool // localTag is of an association that there was already
	listed              []netip.Addr
}

const (
	cookieMACLen  = sha256.Size
	cookieVersion = 4

	// Bits of the flags.
	cookieECN      = 1
	cookieBorrowed = 2

	// keyLife is how long a signing key makes cookies; it is accepted for as
	// long again.
	keyLife = time.Minute

	// maxUsed bounds the memory of cookies already used. Filling it takes
	// more than 500 complete handshakes a second for the life of a cookie;
	// then the oldest are forgotten first.
	maxUsed = 8192
)

// cookieJar signs cookies, checks them, and remembers those that were used.
type cookieJar struct {
	life    time.Duration
	keys    [2][32]byte // the newer first
	rotated Time
	used    map[[8]byte]struct{} // never iterated
	order   []usedCookie
	head    int
}

type usedCookie struct {
	id  [8]byte // of the MAC
	end Time
}

func newCookieJar(now Time, life time.Duration, rng *rand.Rand) cookieJar {
	j := cookieJar{life: life, rotated: now, used: make(map[[8]byte]struct{})}
	j.keys[0], j.keys[1] = newKey(rng), newKey(rng)
	return j
}

func newKey(rng *rand.Rand) (k [32]byte) {
	for i := 0; i < len(k); i += 8 {
		binary.BigEndian.PutUint64(k[i:], rng.Uint64())
	}
	return k
}

// rotate replaces keys that have served their time.
func (j *cookieJar) rotate(now Time, rng *rand.Rand) {
	for n := 0; now.Sub(j.rotated) >= keyLife && n < 2; n++ {
		j.keys[1], j.keys[0] = j.keys[0], newKey(rng)
		j.rotated = max(j.rotated.Add(keyLife), now.Add(-keyLife))
	}
}

func cookieMAC(key *[32]byte, body []byte) []byte {
	m := hmac.New(sha256.New, key[:])
	m.Write(body)
	return m.Sum(nil)
}

// seal encodes and signs a cookie.
func (j *cookieJar) seal(c *stateCookie) []byte {
	b := []byte{cookieVersion, byte(len(c.listed))}
	b = binary.BigEndian.AppendUint64(b, uint64(c.made))
	b = appendAddrPort(appendAddrPort(b, c.on.Local), c.on.Remote)
	for _, v := range []uint32{uint32(c.localTag), uint32(c.peerTag), uint32(c.ties.local), uint32(c.ties.peer), uint32(c.localTSN), uint32(c.peerTSN), c.rwnd, c.adaptation} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	for _, v := range []uint16{c.peerOut, c.peerIn, c.localPort, c.peerPort} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	flags := byte(0)
	if c.ecn {
		flags |= cookieECN
	}
	if c.borrowed {
		flags |= cookieBorrowed
	}
	b = append(b, flags)
	for _, a := range c.listed {
		b = appendAddr(b, a)
	}
	return append(b, cookieMAC(&j.keys[0], b)...)
}

// cookieVerdict is what became of a cookie that came back.
type cookieVerdict uint8

const (
	cookieForged cookieVerdict = iota // or damaged, or made before a restart
	cookieStale
	cookieUsed
	cookieGood
)

// open checks a cookie and decodes it. Even with a good MAC the content is
// treated as hostile: whoever learnt a key must not gain more than cookies.
func (j *cookieJar) open(now Time, b []byte) (c stateCookie, v cookieVerdict) {
	n := len(b) - cookieMACLen
	if n < 2 {
		return c, cookieForged
	}
	body, mac := b[:n], b[n:]
	if !hmac.Equal(mac, cookieMAC(&j.keys[0], body)) && !hmac.Equal(mac, cookieMAC(&j.keys[1], body)) {
		return c, cookieForged
	}
	if !c.decode(body) {
		return c, cookieForged
	}
	if now.Before(c.made) || c.made.Before(now.Add(-j.life)) {
		return c, cookieStale
	}
	if _, used := j.used[[8]byte(mac)]; used {
		return c, cookieUsed
	}
	return c, cookieGood
}

// use notes that a cookie made an association.
func (j *cookieJar) use(now Time, b []byte) {
	for j.head < len(j.order) && (j.order[j.head].end.Before(now) || len(j.order)-j.head >= maxUsed) {
		delete(j.used, j.order[j.head].id)
		j.head++
	}
	if j.head > maxUsed {
		j.order = j.order[:copy(j.order, j.order[j.head:])]
		j.head = 0
	}
	id := [8]byte(b[len(b)-cookieMACLen:])
	j.used[id] = struct{}{}
	j.order = append(j.order, usedCookie{id, now.Add(j.life)})
}

func (c *stateCookie) decode(b []byte) bool {
	const fixed = 2 + 8 + 2*18 + 8*4 + 4*2 + 1
	if len(b) < fixed || b[0] != cookieVersion || int(b[1]) > maxPeerAddrs || len(b) != fixed+16*int(b[1]) {
		return false
	}
	n := int(b[1])
	c.made = Time(binary.BigEndian.Uint64(b[2:]))
	b = b[10:]
	c.on.Local, b = takeAddrPort(b)
	c.on.Remote, b = takeAddrPort(b)
	word := func() uint32 { v := binary.BigEndian.Uint32(b); b = b[4:]; return v }
	half := func() uint16 { v := binary.BigEndian.Uint16(b); b = b[2:]; return v }
	c.localTag, c.peerTag = wire.Tag(word()), wire.Tag(word())
	c.ties = tieTags{wire.Tag(word()), wire.Tag(word())}
	c.localTSN, c.peerTSN = wire.TSN(word()), wire.TSN(word())
	c.rwnd, c.adaptation = word(), word()
	c.peerOut, c.peerIn, c.localPort, c.peerPort = half(), half(), half(), half()
	c.ecn, c.borrowed, b = b[0]&cookieECN != 0, b[0]&cookieBorrowed != 0, b[1:]
	for range n {
		c.listed = append(c.listed, netip.AddrFrom16([16]byte(b)).Unmap())
		b = b[16:]
	}
	return c.localTag != 0 && c.peerTag != 0 && c.peerOut != 0 && c.peerIn != 0
}

func appendAddr(b []byte, a netip.Addr) []byte {
	v := a.As16()
	return append(b, v[:]...)
}

func appendAddrPort(b []byte, a netip.AddrPort) []byte {
	return binary.BigEndian.AppendUint16(appendAddr(b, a.Addr()), a.Port())
}

func takeAddrPort(b []byte) (netip.AddrPort, []byte) {
	addr := netip.AddrFrom16([16]byte(b)).Unmap()
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[16:])), b[18:]
}
