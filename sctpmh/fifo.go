package sctpmh

// A fifo is messages in the order in which they came.
//
// Invariant: octets is the sum of what is in them.
type fifo struct {
	items  []Message
	head   int // items before it have been taken
	octets int
}

func (q *fifo) len() int { return len(q.items) - q.head }

func (q *fifo) push(m Message) {
	q.items = append(q.items, m)
	q.octets += len(m.Data)
}

// first is the size of the first message.
func (q *fifo) first() int { return len(q.items[q.head].Data) }

// pop removes the first message.
func (q *fifo) pop() Message {
	m := q.items[q.head]
	q.items[q.head] = Message{}
	q.head++
	q.octets -= len(m.Data)
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > 64 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return m
}

// discard drops the messages of a group and returns how many octets they were.
func (q *fifo) discard(group uint32) (octets int) {
	kept := q.items[:0]
	for _, m := range q.items[q.head:] {
		if m.Group == group {
			octets += len(m.Data)
		} else {
			kept = append(kept, m)
		}
	}
	clear(q.items[len(kept):])
	q.items, q.head = kept, 0
	q.octets -= octets
	return octets
}
