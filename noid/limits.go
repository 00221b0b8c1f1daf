package noid

import "time"

// Bounds on what names and servers can make this package do.
const (
	maxLocators  = 8    // of a set: more would swell handshakes and probes
	maxTargets   = 4    // SVCB targets of a name that are used
	maxAliases   = 4    // SVCB aliases that are followed
	maxCNAMEs    = 8    // of an answer that are followed
	maxPTRNames  = 4    // reverse names that are tried: a hostile reverse zone lists thousands
	maxRecords   = 64   // of an answer that are looked at
	maxCache     = 4096 // answers that are remembered
	maxQueries   = 64   // under way at once; further ones wait
	maxReverse   = 16   // for reverse records, beside those: addresses of a zone that is silent must not keep names from being found
	maxReferrals = 4096 // addresses whose host may be looked for: a page with many links has as many names looked up
	maxDropped   = 64   // addresses whose rejection is remembered

	verifyBudget = 3 * time.Second // for all the lookups of one Verify
	verifyRate   = 50              // inbound verifications a second: a flood of peers must not become one of queries
	verifyBurst  = 100

	referralTTL    = time.Hour       // for an address to be worth a question after the last answer that had it; longer than most sessions that tell it
	referralBudget = 2 * time.Second // for all the lookups of one referral, while an application waits

	resolutionDelay = 50 * time.Millisecond // RFC 8305 section 3: how long the others may lag behind the first answer
	queryTimeout    = time.Second           // until a query is sent again
	queryTries      = 3
	hedgeDelay      = 300 * time.Millisecond // until the next server is asked as well
	answerBudget    = 5 * time.Second        // for one question, all servers and tries

	maxTTL      = 7 * 24 * time.Hour
	minTTL      = 5 * time.Second // against storms of lookups
	maxNegative = time.Hour
	failureTTL  = time.Second // for a failure to be remembered (RFC 9520 section 3.2)
)
