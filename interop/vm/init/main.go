// Program init is the first program of a guest of package vm. It makes the
// machine what it is to be, says that it is ready, and runs programs as the
// host tells it to, over a serial port (see package talk), until it is told to
// switch the machine off.
//
// What fails before there is a port is said on the console, and the machine
// goes off: the host has the console's last lines.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if filepath.Base(os.Args[0]) == "sleep" {
		sleep()
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	off()
}

// sleep is the command of that name, the one that our tests call: it is gone
// with whoever has started it.
func sleep() {
	d, err := time.ParseDuration(os.Args[len(os.Args)-1] + "s")
	if err != nil {
		fmt.Fprintln(os.Stderr, "sleep:", err)
		os.Exit(1)
	}
	time.Sleep(d)
	os.Exit(0)
}

func run() error {
	if err := mount(); err != nil {
		return err
	}
	if err := setUp(); err != nil {
		return err
	}
	p, err := openPort()
	if err != nil {
		return err
	}
	return newPrograms(p).serve(p)
}

func off() {
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	panic(err) // the first program's end is the kernel's, and thus the machine's
}
