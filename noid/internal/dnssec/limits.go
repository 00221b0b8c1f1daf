package dnssec

import "time"

// Bounds on what a zone or a server can make a validator do. KeyTrap
// (CVE-2023-50387) is a zone with many keys of one tag and many signatures, each
// of which has to be tried with each; CVE-2023-50868 is a denial whose NSEC3
// records cost thousands of hashes. Honest zones stay far below all of these.
const (
	maxVerifications = 32   // signatures tried for one message: KeyTrap
	maxSignatures    = 8    // of one RRset that are looked at: KeyTrap
	maxSameTag       = 4    // keys of one tag and algorithm that are tried for a signature: KeyTrap
	maxKeys          = 32   // of a zone that are looked at: KeyTrap
	maxDS            = 8    // of a delegation that are looked at: each costs a digest of each key with its tag
	maxHashes        = 64   // NSEC3 hashes for one message: CVE-2023-50868
	maxIterations    = 100  // of an NSEC3 hash; above it the answer is insecure (RFC 9276 section 3.2)
	maxDenials       = 16   // NSEC and NSEC3 records of one message that are verified
	maxLinks         = 8    // a name and the aliases behind it in one answer, no more than the reader follows: a long chain multiplies all of the above
	maxFetches       = 64   // questions for one answer: a name of 127 labels must not cost as many
	maxZones         = 2048 // names that are remembered: whoever can have names looked up can have any number of them remembered

	maxZoneTTL = 24 * time.Hour // a zone that loses its keys to a thief recovers in a day
	minZoneTTL = 5 * time.Second
	bogusTTL   = 30 * time.Second // RFC 4035 section 4.7: what is broken is not asked for again at once
	failedTTL  = time.Second      // RFC 9520 section 3.2
)
