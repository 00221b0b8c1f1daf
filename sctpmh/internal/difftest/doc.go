// Package difftest compares what our endpoint answers to a packet with what
// usrsctp does. It holds tests only: they import the engine, which only
// packages below sctpmh may.
package difftest
