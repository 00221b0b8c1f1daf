// Package usrsctp builds the programs behind which usrsctp, the userland stack
// of the authors of SCTP in FreeBSD, is a foreign peer. They are written in C
// and linked with the library of the system.
//
// peer.c speaks the line protocol of package interop over SCTP in UDP. What
// is particular about the stack stands at its top. codec.c answers single
// packets without a network, for comparisons.
package usrsctp

import (
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed peer.c
var peerSource string

//go:embed codec.c
var codecSource string

// Build compiles the peer in a directory and returns the program's path.
func Build(dir string) (path string, err error) {
	return compile(filepath.Join(dir, "usrsctp-peer"), peerSource)
}

// BuildCodec compiles the program that answers single packets, with the address
// sanitizer, which sees what the library does through the C library and to the
// heap.
func BuildCodec(dir string) (path string, err error) {
	return compile(filepath.Join(dir, "usrsctp-codec"), codecSource, "-fsanitize=address")
}

// compile makes a program of C source with the library.
func compile(path, source string, flags ...string) (string, error) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", fmt.Errorf("there is no C compiler for %s: apt-get install gcc libc6-dev libusrsctp-dev: %w", filepath.Base(path), err)
	}
	args := append([]string{"-O2", "-Wall", "-Wextra", "-Werror", "-x", "c", "-", "-o", path}, flags...)
	cmd := exec.Command(cc, append(args, "-lusrsctp", "-lpthread")...)
	cmd.Stdin = strings.NewReader(source)
	out, err := cmd.CombinedOutput()
	switch said := string(out); {
	case err == nil:
		return path, nil
	case strings.Contains(said, "usrsctp.h: No such file"), strings.Contains(said, "cannot find -lusrsctp"):
		return "", errors.New("the library usrsctp is not installed: apt-get install libusrsctp-dev")
	case strings.Contains(said, ".h: No such file"):
		return "", fmt.Errorf("the headers of the C library are not installed: apt-get install libc6-dev\n%s", said)
	default:
		return "", fmt.Errorf("compile %s: %w\n%s", filepath.Base(path), err, said)
	}
}
