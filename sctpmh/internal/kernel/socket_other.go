//go:build !linux || 386 || arm || mips || mipsle

package kernel

import (
	"errors"
	"fmt"
	"runtime"
)

// errSystem is the error of everything here.
var errSystem = fmt.Errorf("kernel SCTP is used on Linux on 64-bit machines only, not on %s/%s: take the udp backend: %w", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)

func openSocket(bool) (int, error)            { return -1, errSystem }
func closeDescriptor(int) error               { return errSystem }
func setOption(int, int, []byte) error        { return errSystem }
func getOption(int, int, []byte) (int, error) { return 0, errSystem }
func setBuffers(int, int, int) error          { return errSystem }
func sendBuffer(int) (int, error)             { return 0, errSystem }
func reuse(int) error                         { return errSystem }
func listenSocket(int, int) error             { return errSystem }
func acceptSocket(int) (int, error)           { return -1, errSystem }
func pendingError(int) error                  { return errSystem }
func shutdownSocket(int) error                { return errSystem }
func abortOnClose(int) error                  { return errSystem }
func sendMessage(int, Message) error          { return errSystem }
func readSysctl(string) (string, error)       { return "", errSystem }
func receivePart(int, []byte) (int, Message, partFlags, error) {
	return 0, Message{}, 0, errSystem
}
