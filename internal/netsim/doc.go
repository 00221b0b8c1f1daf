// Package netsim is a network in virtual time: nodes joined by links with
// delay, loss and everything else that a real path does to packets, driven by
// a seed. One seed is one run, bit for bit.
//
// A [Net] owns the clock. Nodes get packets and deadlines from it and hand it
// packets; nothing runs concurrently and nothing sleeps. Each direction of a
// link draws from its own random source, seeded from the network's seed and
// the link's name, so that changing one link leaves the others as they were.
//
// A [Live] network is one whose time is the clock's, for what has goroutines and
// wants sockets. In a bubble of testing/synctest that clock is virtual too.
package netsim
