package noid

import "time"

// Bounds on what names and servers can make this package do.
const (
	maxLocators  = 8        // of a set: more would swell handshakes and probes
	maxTargets   = 4        // SVCB targets of a name that are used
	maxAliases   = 4        // SVCB aliases that are followed
	maxCNAMEs    = 8        // of an answer that are followed
	maxPTRNames  = 4        // reverse names that are tried: a hostile reverse zone lists thousands
	maxRecords   = 64       // of an answer that are looked at
	maxCache     = 4096     // answers that are remembered
	maxQueries   = 256      // under way at once, a socket each; further ones wait
	maxReferrals = 4096     // addresses whose host may be looked for: a page with many links has as many names looked up
	maxDropped   = 64       // addresses whose rejection is remembered
	maxSeen      = 4096     // names that are remembered to speak mh: pages name thousands
	maxReached   = 4096     // names of which confirmed addresses are remembered: peers claim thousands
	maxWatched   = 4096     // names that are followed: peers claim thousands
	maxRoutes    = 64 << 10 // octets of a table of routes that are read: a router's has a million lines
	maxSearch    = 6        // domains of a search list: one name must not become dozens of questions

	verifyBudget = 3 * time.Second // for all the lookups of one Verify, and the wait for its turn
	verifyRate   = 50              // inbound verifications a second: a flood of peers must not become one of queries
	verifyBurst  = 100
	prefixRate   = 5    // of them for one /24 or /48: one network must not take the turns of all others
	prefixBurst  = 10   //
	maxPrefixes  = 4096 // that are counted apart
	verifyQueue  = 256  // verifications that wait for their turn

	referralTTL    = time.Hour       // for an address to be worth a question after the last answer that had it; longer than most sessions that tell it
	referralBudget = 2 * time.Second // for all the lookups of one referral, while an application waits

	resolutionDelay = 50 * time.Millisecond // RFC 8305 section 3: how long the others may lag behind the first answer
	targetDelay     = time.Second           // how long the addresses of hosts that speak mh may lag behind those of the name
	queryTimeout    = time.Second           // until a query is sent again
	queryTries      = 3
	hedgeDelay      = 300 * time.Millisecond // until the next server is asked as well
	answerBudget    = queryTimer             // for one question, all servers and tries
	networkPoll     = 5 * time.Second        // between looks at the network and at files

	maxTTL        = 7 * 24 * time.Hour // RFC 8767 section 4
	minTTL        = 5 * time.Second    // against storms of lookups
	maxNegative   = time.Hour
	bareNegative  = 30 * time.Second // for an absence that no SOA goes with
	failureTTL    = time.Second      // for a failure to be remembered, doubled with each further one (RFC 9520 section 3.2)
	maxFailureTTL = 5 * time.Minute

	// Old answers while nobody gives new ones (RFC 8767 section 5).
	clientTimer = 1800 * time.Millisecond // until who asks gets the old one
	queryTimer  = 10 * time.Second        // until a question is given up
	staleRetry  = 30 * time.Second        // between questions
	staleTTL    = 30 * time.Second        // of an old answer
	maxStale    = 24 * time.Hour

	seenTTL = 7 * 24 * time.Hour // for a name to be remembered to speak mh after its record has expired

	refreshMin = 10 * time.Second // between the questions of a watch: peers claim names with TTLs of 0
	refreshMax = time.Hour        // the host may have moved to another network
	maxOrphan  = time.Hour        // for which a host may be talked to whose name has lost all its addresses
)

// Bounds on what servers, and those who have names looked up, can make the
// transport of questions do.
const (
	maxZoneQueries = 32              // of the questions under way are for one zone: one that is silent must not keep others from being found
	maxWaiting     = 1024            // questions wait for their turn: each is a goroutine of somebody who can ask for names
	maxZoneWaiting = 128             // of them for one zone
	slotPatience   = 2 * time.Second // until a question gives way to others: an answer by satellite takes less

	penalty     = 30 * time.Second // for which a server that failed comes after the others
	confPoll    = 5 * time.Second  // between looks at resolv.conf
	maxConf     = 1 << 16          // octets of it that are read
	maxTimeout  = 30 * time.Second // of its options, as in libc
	maxAttempts = 5
	maxNdots    = 15

	maxUpstreams = 3 // of a resolv.conf, as in libc
	maxExtended  = 3 // errors of an answer that are told: a server sends as many as it likes

	ednsSize  = 1232 // octets of an answer over UDP: more may be sent in fragments, which can be forged (RFC 9715 section 3.2)
	maxStrays = 16   // packets or messages that answer nothing, until their flood is taken for an attack

	streamTimeout = 2 * time.Second  // until a connection is made, and until an answer comes over it
	streamTries   = 2                // the server may still be looking for the answer at the first
	streamIdle    = 10 * time.Second // without questions, until it is closed (RFC 7766 section 6.2.3)
	maxMessage    = 1 << 16          // octets of an answer over a stream (RFC 1035 section 4.2.2)
	maxHeader     = 16 << 10         // octets of the header of an answer over HTTPS
)
