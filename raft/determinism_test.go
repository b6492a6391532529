package raft

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
)

// pointers stand in printed outputs for values that are printed beside them.
var pointers = regexp.MustCompile(`0x[0-9a-f]+`)

// The same seed and the same inputs give the same outputs, byte for byte.
func TestTheSameInputsGiveTheSameOutputs(t *testing.T) {
	for seed := range uint64(20) {
		if a, b := recordWorld(t, seed), recordWorld(t, seed); a != b {
			t.Fatalf("seed %d: two runs differ: %s", seed, firstDifference(a, b))
		}
	}
}

// recordWorld returns everything that the replicas of a random world did.
func recordWorld(t *testing.T, seed uint64) string {
	var log []byte
	w := newWorld(t, seed)
	w.trace = func(format string, args ...any) { log = fmt.Appendf(log, format+"\n", args...) }
	for range 2000 {
		w.step()
	}
	return string(log)
}

// TestRandomScriptsDoNotPanic is FuzzNode on random bytes.
func TestRandomScriptsDoNotPanic(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		data := make([]byte, 50+rng.IntN(1500))
		for i := range data {
			data[i] = byte(rng.UintN(256))
		}
		playScript(t, data)
	}
}
