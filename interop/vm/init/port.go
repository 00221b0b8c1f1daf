package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// openPort opens the serial port to the host. The kernel makes its device some
// time after the driver was loaded, when the host has answered.
func openPort() (*os.File, error) {
	changes, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("wait for the serial port: %w", err)
	}
	defer unix.Close(changes)
	if _, err := unix.InotifyAddWatch(changes, "/dev", unix.IN_CREATE); err != nil {
		return nil, fmt.Errorf("wait for the serial port: %w", err)
	}
	for buf := make([]byte, 4096); ; {
		found, err := filepath.Glob("/dev/vport*")
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			return os.OpenFile(found[0], os.O_RDWR, 0)
		}
		if _, err := unix.Read(changes, buf); err != nil && err != unix.EINTR {
			return nil, fmt.Errorf("wait for the serial port: %w", err)
		}
	}
}
