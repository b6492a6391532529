// Package ledger is a state machine that knows nothing of machines: accounts, and transfers between them that
// overdraw none. Its test replicates it on three nodes in one process, and kills and cuts them off.
package ledger

import (
	"encoding/json"
	"fmt"
	"io"
)

// Transfer moves an amount from one account to another; from "" it is paid in.
type Transfer struct {
	From, To string
	Amount   int
}

// Ledger is the replicated state, a synod.StateMachine.
type Ledger struct{ accounts map[string]int }

// New returns an empty ledger.
func New() *Ledger { return &Ledger{accounts: map[string]int{}} }

// Apply carries out one command, on every node in the same order, and returns what its caller is told.
func (l *Ledger) Apply(_ uint64, _ int64, command []byte) []byte {
	var t Transfer
	if err := json.Unmarshal(command, &t); err != nil || t.Amount <= 0 {
		return []byte("refused: no transfer")
	}
	if t.From != "" && l.accounts[t.From] < t.Amount {
		return fmt.Appendf(nil, "refused: %s has %d", t.From, l.accounts[t.From])
	}
	if t.From != "" {
		l.accounts[t.From] -= t.Amount
	}
	l.accounts[t.To] += t.Amount
	return []byte("done")
}

// Snapshot is a picture of the state at this moment: nothing that is applied later may show in it.
func (l *Ledger) Snapshot() (io.WriterTo, error) {
	data, err := json.Marshal(l.accounts)
	return picture(data), err
}

// Restore takes a picture in the place of the state.
func (l *Ledger) Restore(r io.Reader) error { return json.NewDecoder(r).Decode(&l.accounts) }

// Balance is what an account has.
func (l *Ledger) Balance(account string) int { return l.accounts[account] }

type picture []byte

func (p picture) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(p)
	return int64(n), err
}
