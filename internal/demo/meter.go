package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

// A meter takes the download's octets: it counts and hashes them and finds the
// longest pause between them.
type meter struct {
	size int64

	mu       sync.Mutex // guards what follows
	got      int64
	hash     hash.Hash
	start    time.Time
	last     time.Time // when octets came last
	longest  time.Duration
	reached  chan struct{} // closed at the next octets
	finished time.Time
}

func newMeter(size int64) *meter {
	return &meter{size: size, hash: sha256.New(), start: time.Now(), reached: make(chan struct{})}
}

// Write takes octets as they come.
func (m *meter) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if !m.last.IsZero() {
		m.longest = max(m.longest, now.Sub(m.last))
	}
	m.last = now
	m.got += int64(len(b))
	m.hash.Write(b)
	if m.got >= m.size {
		m.finished = now
	}
	close(m.reached)
	m.reached = make(chan struct{})
	return len(b), nil
}

// await waits until n octets have come.
func (m *meter) await(ctx context.Context, n int64) bool {
	for {
		m.mu.Lock()
		got, reached := m.got, m.reached
		m.mu.Unlock()
		if got >= n {
			return true
		}
		select {
		case <-reached:
		case <-ctx.Done():
			return false
		}
	}
}

// progress returns how many octets have come, and how long none has.
func (m *meter) progress() (got int64, pause time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.last.IsZero() && m.finished.IsZero() {
		pause = time.Since(m.last)
	}
	return m.got, pause
}

// result is the measure of the whole. A download that stopped is one long
// pause.
func (m *meter) result() (got int64, equal bool, stallMS, durationMS int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	end, longest := m.finished, m.longest
	if end.IsZero() {
		end = time.Now()
		if m.last.IsZero() {
			m.last = m.start
		}
		longest = max(longest, end.Sub(m.last))
	}
	return m.got, bytes.Equal(m.hash.Sum(nil), wantHash(m.size)), longest.Milliseconds(), end.Sub(m.start).Milliseconds()
}

// content is the file: octets that look random and are the same each time.
func content(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), size) }

func wantHash(size int64) []byte {
	h := sha256.New()
	_, _ = io.Copy(h, content(size)) // neither side can fail
	return h.Sum(nil)
}
