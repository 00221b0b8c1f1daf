package difftest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// summary is what is compared of a stack's answers: the chunks and all causes
// that ERROR chunks report, in the order of the alphabet, "silence" when there
// is none. Left out is what depends on buffers and clocks, and what is not an
// answer: SACK, DATA and probes of paths.
func summary(answers [][]byte) string {
	var words, errors []string
	for _, packet := range answers {
		for _, c := range chunks(packet) {
			switch c.Type {
			case wire.TypeSack, wire.TypeData, wire.TypeHeartbeat:
			case wire.TypeError:
				errors = append(errors, causes(c)...)
			case wire.TypeInitAck:
				words = append(words, c.Type.String()+list(unrecognized(c)))
			case wire.TypeAbort:
				words = append(words, c.Type.String()+list(causes(c)))
			default:
				words = append(words, c.Type.String())
			}
		}
	}
	if slices.Sort(errors); len(errors) > 0 {
		words = append(words, "ERROR"+list(errors))
	}
	if slices.Sort(words); len(words) > 0 {
		return strings.Join(words, " ")
	}
	return "silence"
}

func list(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "{" + strings.Join(words, " ") + "}"
}

// unrecognized are the parameters that an INIT ACK reports.
func unrecognized(c wire.Chunk) (words []string) {
	in, _ := wire.ParseInit(c)
	for rest := in.Params; len(rest) > 0; {
		p, next, ok := wire.NextParam(rest)
		if !ok {
			return append(words, "garbage")
		}
		rest = next
		if p.Type == wire.ParamUnrecognized && len(p.Value) >= 2 {
			words = append(words, fmt.Sprintf("p%04x", binary.BigEndian.Uint16(p.Value)))
		}
	}
	return words
}

// causes are the causes of an ABORT or ERROR, with the types of what was not
// recognized.
func causes(c wire.Chunk) (words []string) {
	for rest := c.Value; len(rest) > 0; {
		x, next, ok := wire.NextCause(rest)
		if !ok {
			return append(words, "garbage")
		}
		rest = next
		word := x.Code.String()
		switch {
		case x.Code == wire.CauseUnrecognizedChunk && len(x.Info) > 0:
			word = fmt.Sprintf("chunk-%02x", x.Info[0])
		case x.Code == wire.CauseUnrecognizedParams && len(x.Info) > 1:
			word = fmt.Sprintf("p%04x", binary.BigEndian.Uint16(x.Info))
		}
		words = append(words, strings.ReplaceAll(word, " ", "-"))
	}
	return words
}
