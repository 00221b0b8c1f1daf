package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Build compiles a program of this module for the guest, statically, into a
// file.
func Build(ctx context.Context, pkg, file string) error {
	return compile(ctx, "build", "-trimpath", "-ldflags=-s -w", "-o", file, pkg)
}

// BuildTest compiles the tests of a package of this module for the guest.
func BuildTest(ctx context.Context, pkg, file string) error {
	return compile(ctx, "test", "-c", "-trimpath", "-ldflags=-s -w", "-o", file, pkg)
}

func compile(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// initProgram is the guest's first program, compiled once by each process.
var initProgram = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "mh-vm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "init")
	if err := Build(context.Background(), "github.com/sctpmh/mh/interop/vm/init", file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})
