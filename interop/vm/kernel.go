package vm

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kernelPackage is Debian's small kernel for virtual machines. It depends on
// the package with the kernel itself, whose name changes with each security
// update.
const kernelPackage = "linux-image-cloud-amd64"

// modulePlaces are the folders whose modules are kept: those for a network.
var modulePlaces = []string{"arch/", "crypto/", "lib/", "net/", "drivers/char/", "drivers/net/", "drivers/virtio/"}

// Fetch sees to it that there is a kernel, downloading it at the first time:
// call it where there is a network, before tests confine themselves. Debian's
// package goes into the user's cache directory and is not installed.
func Fetch(ctx context.Context) error {
	_, err := findKernel(ctx)
	return err
}

// findKernel returns the directory of a kernel: "vmlinuz" and its modules.
func findKernel(ctx context.Context) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place for a kernel: %w", err)
	}
	cache = filepath.Join(cache, "mh-interop")
	if dir := newestKernel(cache); dir != "" {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	// Others may do the same at this time: the first one's stays.
	work, err := os.MkdirTemp(cache, "fetch")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	deb, err := download(ctx, work)
	if err != nil {
		return "", fmt.Errorf("fetch Debian's package %s: %w (on Debian: apt-get update; elsewhere, put a kernel into %s)", kernelPackage, err, filepath.Join(cache, "linux-NAME"))
	}
	if err := unpack(ctx, deb, filepath.Join(work, "tree")); err != nil {
		return "", fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
	}
	dir = filepath.Join(cache, strings.TrimSuffix(filepath.Base(deb), ".deb"))
	if err := os.Rename(filepath.Join(work, "tree"), dir); err != nil && newestKernel(cache) == "" {
		return "", err
	}
	return newestKernel(cache), nil
}

// newestKernel returns the directory that was made last, "" if there is none.
func newestKernel(cache string) (dir string) {
	found, _ := filepath.Glob(filepath.Join(cache, "linux-*", "vmlinuz")) // the pattern is good
	var newest os.FileInfo
	for _, f := range found {
		info, err := os.Stat(filepath.Dir(f))
		if err == nil && (newest == nil || info.ModTime().After(newest.ModTime())) {
			newest, dir = info, filepath.Dir(f)
		}
	}
	return dir
}

// download has apt fetch the kernel's package into a directory.
func download(ctx context.Context, dir string) (deb string, err error) {
	list, err := output(ctx, dir, "apt-cache", "depends", "--important", kernelPackage)
	if err != nil {
		return "", err
	}
	_, name, _ := strings.Cut(list, "Depends:")
	if name, _, _ = strings.Cut(strings.TrimSpace(name), "\n"); name == "" {
		return "", errors.New("apt does not know it")
	}
	if _, err := output(ctx, dir, "apt-get", "download", "-qq", name); err != nil {
		return "", err
	}
	debs, _ := filepath.Glob(filepath.Join(dir, name+"_*.deb")) // the pattern is good
	if len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages", name, len(debs))
	}
	return debs[0], nil
}

// output runs a command and returns what it says; when it fails, its last
// words are the error.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, withStderr(err))
	}
	return string(out), nil
}

// withStderr adds what a command said before it failed.
func withStderr(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}

// unpack takes the kernel and its modules out of a package.
func unpack(ctx context.Context, deb, dir string) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// Read to the end also after an error, or the command would not end.
	err = unpackTar(out, dir)
	_, _ = io.Copy(io.Discard, out)
	return errors.Join(err, cmd.Wait())
}

func unpackTar(r io.Reader, dir string) error {
	for t := tar.NewReader(r); ; {
		header, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := keep(header.Name)
		if !ok || header.Typeflag != tar.TypeReg {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, t)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
}

// keep returns under which name a file of the package is kept, if it is.
func keep(name string) (as string, ok bool) {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "./"), "usr/")
	if strings.HasPrefix(name, "boot/vmlinuz-") {
		return "vmlinuz", true
	}
	rest, ok := strings.CutPrefix(name, "lib/modules/")
	if !ok || strings.Contains(rest, "..") {
		return "", false
	}
	_, rest, _ = strings.Cut(rest, "/") // the release
	if rest == "modules.builtin" {
		return rest, true
	}
	module, ok := strings.CutPrefix(rest, "kernel/")
	for _, place := range modulePlaces {
		if ok && strings.HasPrefix(module, place) && strings.HasSuffix(module, ".ko") {
			return module, true
		}
	}
	return "", false
}
