// Command linuxpeer is the Linux kernel's SCTP behind the line protocol of
// package interop: commands on standard input, what happened on standard
// output. It needs root, for the settings of UDP encapsulation and for forget,
// and a kernel with the module sctp, such as that of a guest of package vm.
//
// Sockets are of the one-to-one style. What
// github.com/ishidawataru/sctp does right is its own; what it lacks goes to the
// kernel directly: messages with their streams, path states, events. Receive
// buffers are the kernel's default, in which a message of 256 KiB has no room:
// it is delivered in parts. So that one may dial from the port at which one
// listens, sockets share their ports (SO_REUSEPORT).
//
// To forget an association, routes to the peer are made black holes while the
// kernel aborts it. There is no such route to an address of one's own: between
// two peers on one host forget is heard as an abort.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "linuxpeer:", err)
		os.Exit(1)
	}
}
