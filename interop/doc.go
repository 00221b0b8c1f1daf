// Package interop runs this SCTP against stacks that nobody here wrote, and
// writes what it saw to results.md.
//
// A scenario (scenarios_*_test.go) is one conversation: who dials, what is
// sent, what breaks, how it ends. It is written once, against the small seam of
// peer_test.go. A peer is one file: how a foreign stack is started, and what it
// lacks. Scenarios that need what a peer lacks are cells with a reason, never
// empty.
//
// "make interop" plays all of them, as root. A part of them is played, from this
// folder, by
//
//	INTEROP=1 go test -v -run 'TestInterop/usrsctp/failover' -interop.peers usrsctp
//
// Between us and a peer are two wires (world_test.go), whose frames are all
// captured under bin/interop and dissected by tshark. -interop.quirks keeps the
// beginnings of the captures to which a peer's notes refer.
//
// # The line protocol
//
// A foreign stack runs in a process of its own (a program in Go or C, or one in
// a virtual machine), and is told what to do by lines on its standard input. It
// says what happened by lines on its standard output that begin with "@ ":
// whatever else is there (a console's echo, a log) is not for us. Words are
// separated by one space, values are key=value, numbers are decimal, hashes 16
// hex digits. A process has one association at a time; a new one may follow.
//
// Commands:
//
//	listen port=5000 udp=9899 from=10.1.0.2,10.2.0.2
//	     accepts at an SCTP port; udp=0: native SCTP; answers "@ ok listen"
//	dial to=10.1.0.1,10.2.0.1 port=5000 udp=9899 from=10.1.0.2,10.2.0.2
//	     dials; answers "@ ok dial" or "@ error dial TEXT", then "@ up" when the
//	     association stands or "@ down" when it failed. Where a peer takes both
//	     ends may dial at once after listen
//	mode echo|sink
//	     echo sends each message back on the same stream, with the same protocol
//	     identifier, ordered or not as it came; sink counts it. Default sink
//	send stream=S streams=K ppid=P unordered=0|1 size=L count=N seed=X
//	     sends N messages of L octets, message i on stream S+i%K, and answers
//	     "@ sent count=N" when the stack has taken them all
//	sums
//	     "@ sum stream=S messages=N octets=N chain=H set=H" for each stream on
//	     which messages came, in order of the streams, then "@ ok sums"
//	paths
//	     "@ path addr=A state=active|pf|inactive|unconfirmed" for each address
//	     of the peer, then "@ ok paths"; a stack without paths: "@ ok paths"
//	primary addr=A
//	     "@ ok primary" or "@ error primary TEXT"
//	shutdown, abort
//	     end the association; "@ ok shutdown" at once, "@ down" when it is over
//	forget
//	     loses the association without a packet, as a crash does, keeps
//	     listening, answers "@ ok forget"; a stack that cannot: "@ error forget"
//	exit
//
// Events, unasked:
//
//	@ ready                          first of all: commands are taken
//	@ up out=N in=N                  streams that can be used each way
//	@ down reason=shutdown|abort|lost|refused
//	@ restart                        the peer began anew
//	@ addr addr=A state=...          a path changed its state
//
// Counters and sums start anew with each association.
//
// # What is sent
//
// Octets 8k to 8k+7 of message i with seed X are the little-endian form of a
// 64-bit word: x = X*0x9E3779B97F4A7C15 + i, then for each k in turn x =
// x*6364136223846793005 + 1442695040888963407 (all modulo 2^64). The last word
// is cut.
//
// # What is compared
//
// Both hashes are FNV-1a with 64 bits. chain runs over the octets of all
// messages of a stream in the order in which they arrived, each followed by its
// length as 4 octets little-endian and its protocol identifier as another 4. It
// says that ordered delivery is exact. set is the sum, modulo 2^64, of each
// message's own hash over the same octets: it says the same of unordered
// messages.
//
// A worked example: "send stream=1 streams=2 ppid=46 unordered=0 size=11
// count=3 seed=7" sends these three messages, the second one on stream 2,
//
//	261c826ef29d4bc2fd4d5b
//	539b17bb1f929d1ae6fbea
//	801aad074d86ef72cfa97a
//
// and a peer to which nothing else was sent answers "sums" with
//
//	@ sum stream=1 messages=2 octets=22 chain=c84dae5ea80790de set=da441365f5a36cdb
//	@ sum stream=2 messages=1 octets=11 chain=09a5456c3cf2d13f set=09a5456c3cf2d13f
//	@ ok sums
//
// Package interop/pattern is all of this for peers in Go.
package interop
