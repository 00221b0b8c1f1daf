package difftest

import (
	"slices"
	"strings"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A difference is a case in which the stacks answer differently, and the
// sentence that settles which of them is right.
type difference struct {
	name  string
	right string // "ours", "usrsctp", or "both" where it is left open
	rfc   string // number and section
	quote string
	fits  func(q question, ours, theirs string) bool
}

const silence = "silence"

// Parameters and chunks of extensions that usrsctp has and we have not: PR-SCTP
// (RFC 3758, 8260), AUTH (RFC 4895), ASCONF (RFC 5061), RE-CONFIG (RFC 6525),
// NR-SACK and packet drop reports.
var (
	theirParams = []wire.ParamType{wire.ParamForwardTSN, 0xc001, 0xc002, 0xc003, 0xc004, 0xc005, wire.ParamAdaptation}
	theirChunks = []wire.ChunkType{wire.TypeAuth, 0x10, wire.TypeAsconfAck, 0x81, wire.TypeReconfig, wire.TypePad, wire.TypeForwardTSN, wire.TypeAsconf, wire.TypeIForwardTSN}
	theirWords  = []string{"pc000", "pc001", "pc002", "pc003", "pc004", "pc005", "pc006", "chunk-0f", "chunk-10", "chunk-80", "chunk-81", "chunk-82", "chunk-84", "chunk-c0", "chunk-c1"}
)

// differences are all that there are. The first one that fits explains a case.
var differences = []difference{
	{
		"what stands before an INIT in a packet", "ours", "9260 12.3",
		"The receiver of an INIT chunk MUST silently discard the INIT chunk and all further chunks if the INIT chunk is bundled with other chunks or the packet has a non-zero Verification Tag.",
		func(q question, ours, theirs string) bool {
			return theirs == silence && !q.begins(wire.TypeInit) && q.has(wire.TypeInit)
		},
	}, {
		"a zero tag without an INIT", "ours", "9260 8.5.1",
		"When an endpoint receives an SCTP packet with the Verification Tag set to 0, it SHOULD verify that the packet contains only an INIT chunk. Otherwise, the receiver MUST silently discard the packet.",
		func(q question, ours, theirs string) bool {
			return ours == silence && q.tag == 0 && !q.begins(wire.TypeInit)
		},
	}, {
		"an Initiate Tag of zero", "ours", "9260 3.3.2",
		"If the value of the Initiate Tag in a received INIT chunk is found to be 0, the receiver MUST silently discard the packet.",
		func(q question, ours, theirs string) bool {
			in, ok := q.init()
			return ours == silence && ok && in.Tag == 0
		},
	}, {
		"a COOKIE ACK or an old cookie's ERROR out of the blue", "ours", "9260 8.4",
		`If the packet contains an ERROR chunk with the "Stale Cookie" error cause or a COOKIE ACK chunk, the SCTP packet SHOULD be silently discarded.`,
		func(q question, ours, theirs string) bool {
			return !q.established && ours == silence && theirs == "ABORT" && (q.has(wire.TypeCookieAck) || q.stale())
		},
	}, {
		"a partial chunk out of the blue", "both", "9260 6.10",
		"If the receiver detects a partial chunk, it MUST drop the chunk.",
		func(q question, ours, theirs string) bool {
			return !q.established && ours == silence && !q.begins(wire.TypeInit) && (q.partial || len(q.chunks) == 0)
		},
	}, {
		"an INIT whose parameters cannot be read gets no ABORT", "usrsctp", "9260 5.1",
		"If an endpoint receives an INIT, INIT ACK, or COOKIE ECHO chunk but decides not to establish the new association due to missing mandatory parameters in the received INIT or INIT ACK chunk, invalid parameter values, or lack of local resources, it SHOULD respond with an ABORT chunk.",
		func(q question, ours, theirs string) bool {
			return ours == silence && strings.HasPrefix(theirs, "ABORT") && q.unreadable()
		},
	}, {
		"an INIT whose parameters cannot be read is taken", "ours", "9260 3.2.1",
		"The total length of a parameter (including Parameter Type, Parameter Length, and Parameter Value fields) MUST be a multiple of 4 bytes.",
		func(q question, ours, theirs string) bool {
			return ours == silence && strings.HasPrefix(theirs, "INIT-ACK") && q.unreadable()
		},
	}, {
		"parameters of AUTH that do not fit together", "both", "4895 6.1",
		"If the Random Number is not 32 bytes, the association MUST be aborted.",
		func(q question, ours, theirs string) bool {
			return strings.HasPrefix(theirs, "ABORT") && q.hasParam(wire.ParamRandom, wire.ParamChunks, wire.ParamHMAC)
		},
	}, {
		"ASCONF without AUTH", "both", "5061 4.2.7",
		"An implementation supporting this extension MUST list the ASCONF,the ASCONF-ACK, and the AUTH chunks in its INIT and INIT-ACK parameters.",
		func(q question, ours, theirs string) bool { return theirs == "ABORT" && q.listsASCONF() },
	}, {
		"a parameter of an extension with a wrong length", "both", "9260 3.2.1",
		"Skip this parameter and continue processing, but report the unrecognized parameter, as described in Section 3.2.2.",
		func(q question, ours, theirs string) bool {
			return strings.HasPrefix(ours, "INIT-ACK") && theirs == "ABORT{protocol-violation}" && q.hasParam(theirParams...)
		},
	}, {
		"a parameter that has no place in an INIT, or no value, with a wrong length", "both", "9260 3.2.1",
		"The Parameter Length field contains the size of the parameter in bytes, including the Parameter Type, Parameter Length, and Parameter Value fields.",
		func(q question, ours, theirs string) bool {
			return strings.HasPrefix(ours, "INIT-ACK") && theirs == "ABORT{protocol-violation}" && q.hasParam(wire.ParamHeartbeatInfo, wire.ParamStateCookie, wire.ParamCookiePreservative, wire.ParamECN)
		},
	}, {
		"a parameter or chunk of an extension that we have not", "both", "9260 3.2.1",
		"Skip this parameter and continue processing, but report the unrecognized parameter, as described in Section 3.2.2.",
		func(q question, ours, theirs string) bool { return without(ours, theirWords...) == theirs },
	}, {
		"a parameter of other chunks stops the reading of an INIT's, since it is unknown there", "both", "9260 3.2.1",
		"Stop processing this parameter and do not process any further parameters within this chunk.",
		func(q question, ours, theirs string) bool {
			return strings.HasPrefix(ours, "INIT-ACK") && strings.HasPrefix(theirs, "INIT-ACK") && q.hasParam(wire.ParamHeartbeatInfo, wire.ParamStateCookie, wire.ParamUnrecognized)
		},
	}, {
		"two reasons to refuse an INIT, of which one is given", "both", "9260 5.1",
		"It SHOULD also specify the cause of abort, such as the type of the missing mandatory parameters, etc., by including an error cause in the ABORT chunk.",
		func(q question, ours, theirs string) bool {
			return strings.HasPrefix(ours, "ABORT{") && strings.HasPrefix(theirs, "ABORT") && q.begins(wire.TypeInit)
		},
	}, {
		"addresses behind a parameter that ends the reading of a peer's new INIT", "ours", "9260 3.2.1",
		"Stop processing this parameter, do not process any further parameters within this chunk, and report the unrecognized parameter, as described in Section 3.2.2.",
		func(q question, ours, theirs string) bool {
			return q.established && strings.HasPrefix(ours, "INIT-ACK{") && theirs == "ABORT" && (q.hasParam(wire.ParamIPv4, wire.ParamIPv6) || q.unreadable())
		},
	}, {
		"a chunk of an extension out of the blue", "ours", "9260 8.4",
		"The receiver SHOULD respond to the sender of the OOTB packet with an ABORT chunk.",
		func(q question, ours, theirs string) bool {
			return !q.established && ours == "ABORT" && theirs == silence && q.has(theirChunks...)
		},
	}, {
		"a SHUTDOWN ACK behind a SHUTDOWN COMPLETE out of the blue", "ours", "9260 8.4",
		"If the packet contains a SHUTDOWN ACK chunk, the receiver SHOULD respond to the sender of the OOTB packet with a SHUTDOWN COMPLETE chunk.",
		func(q question, ours, theirs string) bool {
			return !q.established && ours == "SHUTDOWN-COMPLETE" && theirs == silence && q.has(wire.TypeShutdownComplete)
		},
	}, {
		"a SHUTDOWN ACK with a wrong tag", "ours", "9260 8.5",
		"If the received Verification Tag value does not match the receiver's own tag value, the receiver MUST silently discard the packet and MUST NOT process it any further, except for those cases listed in Section 8.5.1 below.",
		func(q question, ours, theirs string) bool {
			return q.established && q.tag != placeholder && q.has(wire.TypeShutdownAck) && ours == silence && theirs == "SHUTDOWN-COMPLETE"
		},
	}, {
		"I-DATA that was not agreed on", "both", "9260 3.2",
		"Stop processing this SCTP packet, discard the unrecognized chunk and all further chunks, and report the unrecognized chunk in an ERROR chunk using the 'Unrecognized Chunk Type' error cause.",
		func(q question, ours, theirs string) bool {
			return q.established && theirs == "ABORT{protocol-violation}" && q.has(wire.TypeIData)
		},
	}, {
		"something behind DATA, or DATA without data, or a partial or misshapen chunk, ends the association", "both", "9260 6.10",
		"If the receiver detects a partial chunk, it MUST drop the chunk.",
		func(q question, ours, theirs string) bool {
			return q.established && strings.HasPrefix(theirs, "ABORT{") && (q.partial || q.dataNotLast() || q.misshapen())
		},
	}, {
		"a HEARTBEAT without one clean Heartbeat Info parameter", "both", "9260 8.3",
		"The receiver of the HEARTBEAT chunk SHOULD immediately respond with a HEARTBEAT ACK chunk that contains the Heartbeat Information TLV, together with any other received TLVs, copied unchanged from the received HEARTBEAT chunk.",
		func(q question, ours, theirs string) bool {
			clean := func(c wire.Chunk) bool { _, ok := wire.HeartbeatInfo(c); return ok || c.Type != wire.TypeHeartbeat }
			return q.established && q.has(wire.TypeHeartbeat) && without(theirs, "HEARTBEAT-ACK") == without(ours, "HEARTBEAT-ACK") &&
				slices.ContainsFunc(q.chunks, func(c wire.Chunk) bool { return !clean(c) })
		},
	}, {
		"a SHUTDOWN that is no SHUTDOWN keeps what follows it from being answered", "ours", "9260 6.10",
		"An endpoint MUST process received chunks in their order in the packet.",
		func(q question, ours, theirs string) bool {
			return q.established && less(theirs, ours) && q.has(wire.TypeShutdown) && q.misshapen()
		},
	}, {
		"a SACK that is 2^31 ahead of what was sent, or as much behind", "both", "9260 1.6",
		"Comparisons and arithmetic on TSNs in this document SHOULD use Serial Number Arithmetic, as defined in [RFC1982], where SERIAL_BITS = 32.",
		func(q question, ours, theirs string) bool {
			return q.established && !strings.HasPrefix(ours, "ABORT") && theirs == "ABORT{protocol-violation}" && q.has(wire.TypeSack)
		},
	}, {
		"a chunk out of its place keeps what follows it, and what it follows, from being answered", "ours", "9260 6.10",
		"An endpoint MUST process received chunks in their order in the packet.",
		func(q question, ours, theirs string) bool {
			return q.established && less(theirs, ours) && q.has(wire.TypeInitAck, wire.TypeHeartbeatAck, wire.TypeCWR, wire.TypeECNE, wire.TypeShutdownAck, wire.TypeShutdownComplete, wire.TypeCookieEcho)
		},
	}, {
		"an ABORT that cannot be read, or what stands before it", "both", "9260 3.3.7",
		"If an endpoint receives an ABORT chunk with a format error or no TCB is found, it MUST silently discard it.",
		func(q question, ours, theirs string) bool {
			return q.established && theirs == silence && q.has(wire.TypeAbort)
		},
	}, {
		"a chunk of an extension that we have not, in a form that theirs takes or refuses", "both", "9260 3.2",
		"Skip this chunk and continue processing, but report it in an ERROR chunk using the 'Unrecognized Chunk Type' error cause.",
		func(q question, ours, theirs string) bool {
			return q.established && q.has(theirChunks...) && (less(without(theirs, "HEARTBEAT-ACK"), ours) || strings.HasPrefix(theirs, "ABORT{"))
		},
	},
}

// less reports whether a summary says nothing that another does not say too.
func less(a, b string) bool {
	words := func(s string) []string {
		return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" {}", r) })
	}
	in := words(b)
	return a == silence || !slices.ContainsFunc(words(a), func(w string) bool { return !slices.Contains(in, w) })
}

// without takes words out of a summary, wherever they are.
func without(summary string, words ...string) string {
	for _, w := range words {
		summary = strings.ReplaceAll(summary, w, "")
	}
	summary = strings.Join(strings.Fields(summary), " ")
	summary = strings.NewReplacer("{ ", "{", " }", "}").Replace(summary)
	summary = strings.TrimSpace(strings.NewReplacer("ERROR{}", "", "{}", "").Replace(summary))
	if summary == "" {
		return silence
	}
	return summary
}
