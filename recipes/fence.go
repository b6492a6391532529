package recipes

import "sync/atomic"

// Fence is what a protected store does with tokens: it admits none lower than the highest it
// has seen. The zero value has seen none. It is safe for concurrent use.
//
// Whoever is admitted must have done its work before a higher token is admitted, so a store
// asks its Fence under the lock under which it writes.
type Fence struct{ highest atomic.Uint64 }

// Admit reports whether a caller with the token may act. 0 is no token.
func (f *Fence) Admit(token uint64) bool {
	for {
		highest := f.highest.Load()
		if token == 0 || token < highest {
			return false
		}
		if f.highest.CompareAndSwap(highest, token) {
			return true
		}
	}
}
