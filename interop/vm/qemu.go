package vm

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

const emulator = "qemu-system-x86_64"

// findEmulator returns the path of qemu.
func findEmulator() (string, error) {
	path, err := exec.LookPath(emulator)
	if err != nil {
		return "", fmt.Errorf("no virtual machine: %w: install it, on Debian with: apt-get install --no-install-recommends qemu-system-x86", err)
	}
	return path, nil
}

// Descriptors in the command, which are its extra files in this order.
const (
	initramfsFile = 3 + iota
	portFile      // of package talk
	firstNICFile
)

// command returns the command of a guest.
func (c *Config) command(path, kernel string, guest int) *exec.Cmd {
	args := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-M", "q35", "-cpu", "max", "-accel", "tcg,thread=multi",
		"-smp", strconv.Itoa(c.cpus()), "-m", strconv.Itoa(c.memory()),
		"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", fmt.Sprint("/dev/fd/", initramfsFile),
		// A panic ends the machine at once, and a kernel that hangs panics: its
		// last words say where.
		"-append", "console=ttyS0 quiet panic=-1 softlockup_panic=1 sysctl.kernel.panic_on_rcu_stall=1",
		"-serial", "stdio",
		"-chardev", fmt.Sprintf("socket,id=talk,fd=%d", portFile),
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=talk",
	}
	for i, nic := range c.NICs {
		backend := "tap,id=n%d,fd=%d"
		if nic.Tap == nil {
			backend = "stream,id=n%d,addr.type=fd,addr.str=%d"
		}
		args = append(args,
			"-netdev", fmt.Sprintf(backend, i, firstNICFile+i),
			// Without a file for it there is no time spent on booting from the network.
			"-device", fmt.Sprintf("virtio-net-pci,romfile=,netdev=n%d,mac=%s", i, hardwareAddr(guest, i)))
	}
	return exec.Command(path, args...)
}
