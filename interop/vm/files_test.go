package vm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The format "newc", field by field, as cpio(5) lists them.
func TestArchive(t *testing.T) {
	var out bytes.Buffer
	a := &archive{w: &out}
	a.directory("dev")
	a.device("dev/console", 5, 1)
	a.file("init", 0o755, []byte("hello"))
	a.symlink("bin/sleep", "/init")
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	entry := func(inode, mode, size, major, minor, nameSize, rest string) string {
		return "070701" + inode + mode + "00000000" + "00000000" + "00000001" + "00000000" + size +
			"00000000" + "00000000" + major + minor + nameSize + "00000000" + rest
	}
	const none = "00000000"
	want := entry(none, "000041ed", none, none, none, "00000004", "dev\x00\x00\x00") +
		entry("00000001", "00002180", none, "00000005", "00000001", "0000000c", "dev/console\x00\x00\x00") +
		entry("00000002", "000081ed", "00000005", none, none, "00000005", "init\x00\x00hello\x00\x00\x00") +
		entry("00000003", "0000a1ff", "00000005", none, none, "0000000a", "bin/sleep\x00/init\x00\x00\x00") +
		entry(none, none, none, none, none, "0000000b", "TRAILER!!!\x00\x00\x00\x00")
	if got := out.String(); got != want {
		t.Errorf("the archive is\n%q, want\n%q", got, want)
	}
}

// What fails is told at the end, with the file.
func TestArchiveFails(t *testing.T) {
	a := &archive{w: new(bytes.Buffer)}
	a.copy("x", filepath.Join(t.TempDir(), "missing"))
	a.file("y", 0o644, nil)
	if err := a.close(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "missing") {
		t.Error(err)
	}
}

func TestDepends(t *testing.T) {
	for info, want := range map[string][]string{
		"license=GPL\x00depends=libcrc32c,udp_tunnel,ip6_udp_tunnel\x00name=sctp\x00": {"libcrc32c", "udp_tunnel", "ip6_udp_tunnel"},
		"name=virtio_ring\x00depends=\x00":                                            {},
		"softdep=pre: crc32c\x00":                                                     nil,
		"depends=last":                                                                {"last"},
		"":                                                                            nil,
	} {
		if got := depends([]byte(info)); !slices.Equal(got, want) {
			t.Errorf("%q needs %q, want %q", info, got, want)
		}
	}
}

// Each module comes after what it needs, once, whoever asks for it and however
// its name is written; what is built in has no file.
func TestOrder(t *testing.T) {
	needs := map[string][]string{
		"sctp": {"libcrc32c", "udp_tunnel", "ip6-udp-tunnel"}, "sctp_diag": {"sctp", "inet_diag"},
		"ip6_udp_tunnel": {"udp_tunnel"}, "udp_tunnel": {"builtin"},
		"libcrc32c": nil, "inet_diag": nil, "builtin": nil, "broken": {"nowhere"},
	}
	look := func(name string) (string, []string, error) {
		n, ok := needs[name]
		switch {
		case !ok:
			return "", nil, fmt.Errorf("no module %s", name)
		case name == "builtin":
			return "", nil, nil
		}
		return name + ".ko", n, nil
	}
	got, err := inOrder([]string{"udp-tunnel", "sctp-diag", "sctp"}, look)
	want := []string{"udp_tunnel.ko", "libcrc32c.ko", "ip6_udp_tunnel.ko", "sctp.ko", "inet_diag.ko", "sctp_diag.ko"}
	if !slices.Equal(got, want) || err != nil {
		t.Errorf("order %q, %v, want %q", got, err, want)
	}
	if _, err := inOrder([]string{"broken"}, look); err == nil || err.Error() != "no module nowhere, which broken needs" {
		t.Error(err)
	}
}

func TestKeep(t *testing.T) {
	for name, want := range map[string]string{
		"./boot/vmlinuz-6.1.0-56-cloud-amd64":                                        "vmlinuz",
		"./boot/System.map-6.1.0-56-cloud-amd64":                                     "",
		"./lib/modules/6.1.0-56-cloud-amd64/kernel/net/sctp/sctp.ko":                 "net/sctp/sctp.ko",
		"./usr/lib/modules/6.1.0-56-cloud-amd64/kernel/drivers/net/virtio_net.ko":    "drivers/net/virtio_net.ko",
		"./lib/modules/6.1.0-56-cloud-amd64/kernel/fs/xfs/xfs.ko":                    "",
		"./lib/modules/6.1.0-56-cloud-amd64/modules.builtin":                         "modules.builtin",
		"./lib/modules/6.1.0-56-cloud-amd64/kernel/net/../../../../../etc/passwd.ko": "",
	} {
		if got, ok := keep(name); got != want || ok != (want != "") {
			t.Errorf("%s is kept as %q, %v, want %q", name, got, ok, want)
		}
	}
}

func TestTail(t *testing.T) {
	log := new(tail)
	if got := log.String(); got != "none" {
		t.Errorf("nothing is %q", got)
	}
	for i := range 10_000 {
		fmt.Fprintln(log, i)
	}
	if got := log.String(); !strings.HasSuffix(got, "9998\n9999") || len(got) > tailLength {
		t.Errorf("%d octets are kept, the last of them %q", len(got), got[max(0, len(got)-20):])
	}
}

// Without an emulator the error says how to get one.
func TestNoEmulator(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Start(t.Context(), Config{})
	if err == nil || !strings.Contains(err.Error(), "apt-get install --no-install-recommends qemu-system-x86") {
		t.Error(err)
	}
}

// Without a kernel, and without apt to fetch one, the error says where to put
// one and leaves nothing.
func TestNoKernel(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("PATH", t.TempDir())
	err := Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), cache) || !strings.Contains(err.Error(), kernelPackage) {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "mh-interop", "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	found := filepath.Join(cache, "mh-interop", "linux-mine")
	if err := os.MkdirAll(found, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(found, "vmlinuz"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Fetch(t.Context()); err != nil {
		t.Errorf("the kernel that is there is not found: %v", err)
	}
}
