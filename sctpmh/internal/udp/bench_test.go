package udp

import (
	"net/netip"
	"testing"
)

// benchTrain sends trains of count packets over loopback and receives them,
// all in one goroutine: it measures the two paths and no scheduling.
func benchTrain(b *testing.B, count int, ect bool) {
	open := func() *Socket {
		s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), false)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return s
	}
	from, to := open(), open()
	dst := to.Local()
	const size = 1200
	var train Train
	train.Buf = make([]byte, 0, MaxBatch+size)
	b.SetBytes(int64(count * size))
	b.ReportAllocs()
	for b.Loop() {
		for range count {
			train.Buf = train.Buf[:len(train.Buf)+size]
			train.Push(size, from, dst, Marks{ECT: ect})
		}
		if err := train.Leave(); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < count; {
			batch, err := to.Receive()
			if err != nil {
				b.Fatal(err)
			}
			for _, ok := batch.Next(); ok; _, ok = batch.Next() {
				got++
			}
			batch.Release()
		}
	}
}

func BenchmarkLone(b *testing.B)  { benchTrain(b, 1, false) }
func BenchmarkTrain(b *testing.B) { benchTrain(b, 40, false) }

func BenchmarkLoneECT(b *testing.B)  { benchTrain(b, 1, true) }
func BenchmarkTrainECT(b *testing.B) { benchTrain(b, 40, true) }

// BenchmarkShared has several goroutines send over one socket, as associations
// do; nobody receives.
func BenchmarkShared(b *testing.B) {
	from, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), false)
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	to, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), false)
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		packet, oob := make([]byte, 1200), make([]byte, 64)
		for pb.Next() {
			_ = from.Send(packet, len(packet), to.Local(), Marks{}, oob)
		}
	})
}
