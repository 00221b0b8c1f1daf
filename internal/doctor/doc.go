// Package doctor is "mh doctor": it looks at this machine and says why a
// second path would not be used, and what to do about it.
//
// [Examine] reads links, addresses and routes once, lets every check look at
// them, and returns a [Report]. A check is a function in the file that is named
// after it; what it has to say are findings, the good ones gathered in one
// line. Nothing is changed and nothing is sent but one question to each DNS
// server.
//
// Sockets are opened the way package sctpmh opens them, one for each local
// address and bound to the device that has it: what counts is where those
// packets leave, not what the routing table prefers.
//
// It needs Linux.
package doctor
