package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// Deed is what a line of the schedulers' journal tells. A scheduler writes each before it
// acts on it, so that the next one knows.
type Deed string

// Deeds of schedulers.
const (
	DeedLeads  Deed = "leads" // it was elected, and has read the journal
	DeedSubs   Deed = "subscribed"
	DeedIntend Deed = "intends" // it is about to accept an offer with the task
	DeedTaken  Deed = "taken"   // the master has answered that it took the call
	DeedNot    Deed = "not"     // the master has refused the call: nothing was launched
	DeedUpdate Deed = "update"  // an update came; it is acknowledged afterwards
	DeedAck    Deed = "ack"     // the acknowledgement was taken
	DeedKill   Deed = "kills"   // it is about to kill the task
	DeedEnd    Deed = "ends"
)

// JournalLine is one line of the journal, which all schedulers of the framework append to.
type JournalLine struct {
	At   time.Duration `json:"at"` // of the monotonic clock
	Who  string        `json:"who"`
	Pid  int           `json:"pid"`
	Deed Deed          `json:"deed"`
	// Epoch is the fencing token of the scheduler: a later leader has a higher.
	Epoch     uint64 `json:"epoch,omitempty"`
	Framework string `json:"framework,omitempty"`
	Unit      int    `json:"unit"`
	Task      string `json:"task,omitempty"`
	Agent     string `json:"agent,omitempty"`

	// Of an update: the ID is empty if it is not to be acknowledged.
	ID        string `json:"id,omitempty"`
	Container string `json:"container,omitempty"`
	State     string `json:"state,omitempty"`
	Terminal  bool   `json:"terminal,omitempty"`
	Reason    int    `json:"reason,omitempty"`
	HasExit   bool   `json:"has_exit,omitempty"`
	Exit      int    `json:"exit,omitempty"`
	Signal    int    `json:"signal,omitempty"`
	Text      string `json:"text,omitempty"`
}

// Journal is the schedulers' file.
type Journal struct {
	file *os.File
	who  string
}

// OpenJournal opens the journal of path for appending.
func OpenJournal(path, who string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("chaos: journal: %w", err)
	}
	return &Journal{f, who}, nil
}

// Write appends a line: once it is written, the death of this process does not lose it.
func (j *Journal) Write(l JournalLine) error {
	l.At, l.Who, l.Pid = Now(), j.who, os.Getpid()
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("chaos: journal: %w", err)
	}
	if _, err := j.file.Write(fmt.Appendf(nil, "\n%s\n", text)); err != nil {
		return fmt.Errorf("chaos: journal: %w", err)
	}
	return nil
}

// ReadJournal reads all lines. One that makes no sense is of a process that died while it
// wrote it: the next line begins anew.
func ReadJournal(r io.Reader) (list []JournalLine, err error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var l JournalLine
		if json.Unmarshal(scanner.Bytes(), &l) == nil {
			list = append(list, l)
		}
	}
	return list, scanner.Err()
}

// ReadJournalFile reads the journal of path, which may not be there yet.
func ReadJournalFile(path string) ([]JournalLine, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("chaos: journal: %w", err)
	}
	defer f.Close()
	return ReadJournal(f)
}
