package tcpemu

import (
	"io"
	"testing"
)

// BenchmarkBulk measures one stream that has its association to itself, over
// loopback, one way.
func BenchmarkBulk(b *testing.B) {
	const unit = 1 << 20
	w := newCrowd(b, 1, func(c *Conn) {
		io.Copy(io.Discard, c)
		c.Close()
	})
	c := w.dial()
	buf := make([]byte, unit)
	b.SetBytes(unit)
	for b.Loop() {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	must(b, c.CloseWrite())
	_, err := c.Read(buf) // its end: all has arrived
	if err != io.EOF {
		b.Error(err)
	}
}
