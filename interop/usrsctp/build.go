// Package usrsctp builds the programs behind which usrsctp, the userland stack
// of the authors of SCTP in FreeBSD, is a foreign peer. They are written in C
// and linked with the library of the system.
//
// peer.c speaks the line protocol of package interop over SCTP in UDP. What
// is particular about the stack stands at its top. codec.c answers single
// packets without a network, for comparisons.
package usrsctp

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed *.c *.h
var sources embed.FS

// Build compiles the peer in a directory and returns the program's path.
func Build(dir string) (path string, err error) {
	return compile(filepath.Join(dir, "usrsctp-peer"), "peer.c", "stack.c", "assoc.c", "message.c")
}

// BuildCodec compiles the program that answers single packets, with the address
// sanitizer, which sees what the library does through the C library and to the
// heap.
func BuildCodec(dir string) (path string, err error) {
	return compile(filepath.Join(dir, "usrsctp-codec"), "codec.c", "-fsanitize=address")
}

// compile makes a program of some of the sources with the library. It can be
// called from any directory: the sources are in the calling program.
func compile(path string, args ...string) (string, error) {
	name := filepath.Base(path)
	cc, err := exec.LookPath("cc")
	if err != nil {
		return "", fmt.Errorf("there is no C compiler for %s: apt-get install gcc libc6-dev libusrsctp-dev: %w", name, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "mh-usrsctp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, sources); err != nil {
		return "", fmt.Errorf("sources of %s: %w", name, err)
	}
	args = append([]string{"-O2", "-Wall", "-Wextra", "-Werror", "-o", path}, args...)
	cmd := exec.Command(cc, append(args, "-lusrsctp", "-lpthread")...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	switch said := string(out); {
	case err == nil:
		return path, nil
	case strings.Contains(said, "usrsctp.h: No such file"), strings.Contains(said, "cannot find -lusrsctp"):
		return "", errors.New("the library usrsctp is not installed: apt-get install libusrsctp-dev")
	case strings.Contains(said, ".h: No such file"):
		return "", fmt.Errorf("the headers of the C library are not installed: apt-get install libc6-dev\n%s", said)
	default:
		return "", fmt.Errorf("compile %s: %w\n%s", name, err, said)
	}
}
