package raft

import (
	"fmt"

	"github.com/synod-go/synod/consensus"
)

// The flat forms of entries and configurations are package consensus'.
var (
	AppendEntriesData   = consensus.AppendEntriesData
	EntriesDataSize     = consensus.EntriesDataSize
	EncodeConfiguration = consensus.EncodeConfiguration
	DecodeConfiguration = consensus.DecodeConfiguration
)

// DecodeEntries returns the entries that AppendEntriesData wrote: see package
// consensus. Entries whose terms go back are malformed: no log of Raft holds such.
func DecodeEntries(data []byte) ([]Entry, error) {
	entries, err := consensus.DecodeEntries(data)
	if err == nil {
		err = checkEntries(entries)
	}
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// checkEntries reports whether entries could stand in a log of Raft.
func checkEntries(entries []Entry) error {
	if err := consensus.CheckEntries(entries); err != nil {
		return err
	}
	for i, e := range entries {
		switch {
		case e.Kind > EntryConfiguration:
			return fmt.Errorf("%w entry %d: kind %d", ErrMalformed, e.Index, e.Kind)
		case i > 0 && e.Term < entries[i-1].Term:
			return fmt.Errorf("%w entries: term %d after %d", ErrMalformed, e.Term, entries[i-1].Term)
		}
	}
	return nil
}
