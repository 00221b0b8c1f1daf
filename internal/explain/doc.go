// Package explain says for people and programs what package noid has found of a
// name or an address: which questions were asked of which servers, what came
// back and how far it can be believed, what was kept and what was dropped and
// why, and at the end whether a second path is used, or why not and what to
// do. The JSON form is documented in docs/operating.md.
package explain
