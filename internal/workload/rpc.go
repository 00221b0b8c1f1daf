package workload

import (
	"net/rpc"
	"sync"
	"testing"
)

// Sums is what the RPC server offers. It is exported because net/rpc wants it.
type Sums struct{}

// Add adds numbers.
func (Sums) Add(terms []int, sum *int) error {
	for _, n := range terms {
		*sum += n
	}
	return nil
}

// RPC is net/rpc: a thousand calls of many callers over a few connections,
// whose answers come in any order.
func RPC(t *testing.T, open Open) {
	const clients, callers, calls = 5, 10, 20
	n := open(t)
	server := rpc.NewServer()
	if err := server.RegisterName("Sums", Sums{}); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { // ends when the listener is closed
		for {
			c, err := n.Listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { server.ServeConn(c) }) // ends with its client
		}
	})
	var calling sync.WaitGroup
	for range clients {
		c := rpc.NewClient(n.connect(t))
		defer c.Close()
		for caller := range callers {
			calling.Go(func() { // ends with its calls
				for i := range calls {
					var sum int
					err := c.Call("Sums.Add", []int{caller, i, 1}, &sum)
					if want := caller + i + 1; sum != want || err != nil {
						t.Errorf("the sum is %d, %v, want %d", sum, err, want)
						return
					}
				}
			})
		}
	}
	calling.Wait()
	t.Cleanup(func() { n.Listener.Close(); serving.Wait() })
}
