package sctpmh

import "testing"

// Flows share in octets, by weight, whatever the size of their messages.
func TestOutboxSharesInOctets(t *testing.T) {
	b := newOutbox(1 << 18)
	b.weigh(3, 3)
	sizes := []int{0, 1200, 40, 300}
	fill := func(stream int) {
		for f := b.flows[flowID{stream: uint16(stream)}]; f == nil || f.octets < 1<<16; f = b.flows[flowID{stream: uint16(stream)}] {
			if ok, _, err := b.tryPut(Message{Stream: uint16(stream), Data: make([]byte, sizes[stream])}); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
	}
	got := make([]int, len(sizes))
	for got[1] < 200_000 {
		for stream := 1; stream < len(sizes); stream++ {
			fill(stream)
		}
		m, _, _ := b.tryTake(false)
		got[m.Stream] += len(m.Data)
	}
	for stream, weight := range []int{0, 1, 1, 3} {
		if want := got[1] * weight; stream > 0 && max(got[stream]-want, want-got[stream]) > 8000 {
			t.Errorf("stream %d of weight %d got %d octets, stream 1 %d", stream, weight, got[stream], got[1])
		}
	}
	b.weigh(3, 1)
	if len(b.weights) != 0 {
		t.Errorf("the usual weight costs memory: %v", b.weights)
	}
}

// What is discarded is gone, before and after its turn, from the counts too;
// other groups, unordered messages and other streams stay.
func TestOutboxDiscards(t *testing.T) {
	b := newOutbox(1 << 18)
	put := func(stream uint16, group uint32, text string, unordered bool) {
		t.Helper()
		if ok, _, err := b.tryPut(Message{Stream: stream, Group: group, Unordered: unordered, Data: []byte(text)}); !ok || err != nil {
			t.Fatalf("put %q: %v, %v", text, ok, err)
		}
	}
	put(1, 4, "a", false)
	put(1, 5, "b", false)
	put(1, 0, "c", false)
	put(1, 5, "u", true)
	put(2, 5, "x", false)
	put(3, 5, "y", false)
	b.discard(1, 5)
	b.discard(3, 5)
	b.discard(1, 0)
	put(1, 5, "late", false)
	put(1, 6, "d", false)
	put(1, 5, "e", false) // a new use of the number
	if b.octets != len("acuxde") || b.waiting != 3 {
		t.Errorf("%d octets of %d flows", b.octets, b.waiting)
	}
	if got := drain(&b, false); got != "auxcde" {
		t.Errorf("taken %q", got)
	}
	if len(b.flows) != 0 || b.octets != 0 || b.waiting != 0 {
		t.Errorf("left: %d flows, %d octets, %d waiting", len(b.flows), b.octets, b.waiting)
	}
	if o := b.takeOrders(); len(o) != 2 || o[0] != (order{stream: 1, discard: 5}) || len(b.takeOrders()) != 0 {
		t.Errorf("orders %v", o)
	}
}
