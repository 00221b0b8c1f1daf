package vm

import (
	"bytes"
	"sync"
)

// A tail keeps the end of what was written: the kernel's console, and what
// the emulator has to say.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

// tailLength has room for what a kernel says when it panics.
const tailLength = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	t.kept = t.kept[max(0, len(t.kept)-tailLength):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if said := bytes.TrimSpace(t.kept); len(said) > 0 {
		return string(said)
	}
	return "none"
}
