package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What lines of a unit's ledger tell: see internal/chaos/chore, which writes them.
const (
	choreStart   = "start"
	choreBeat    = "beat"
	choreOverlap = "overlap"
	choreTerm    = "term"
	choreExit    = "exit"
)

// ChoreLine is one line of a unit's ledger.
type ChoreLine struct {
	At              time.Duration // of the monotonic clock
	What            string
	Task, Container string
	Process, Parent int
	More            string
}

// ParseChores reads the ledger of a unit. A line without its dot is of a process that died
// while it wrote it, and is left out.
func ParseChores(text []byte) (list []ChoreLine, err error) {
	for line := range strings.SplitSeq(string(text), "\n") {
		rest, whole := strings.CutSuffix(line, " .")
		if !whole {
			continue
		}
		words := strings.SplitN(rest, " ", 7)
		if len(words) < 6 {
			return nil, fmt.Errorf("chaos: ledger line %q", line)
		}
		at, err1 := strconv.ParseInt(words[0], 10, 64)
		process, err2 := strconv.Atoi(words[4])
		parent, err3 := strconv.Atoi(words[5])
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("chaos: ledger line %q: %w", line, err)
		}
		l := ChoreLine{At: time.Duration(at), What: words[1], Task: words[2], Container: words[3], Process: process, Parent: parent}
		if len(words) == 7 {
			l.More = words[6]
		}
		list = append(list, l)
	}
	return list, nil
}

// ReadChores reads the ledgers of all units from a directory, those that have one.
func ReadChores(dir string, units []Unit) (map[int][]ChoreLine, error) {
	ledgers := make(map[int][]ChoreLine)
	for _, u := range units {
		text, err := os.ReadFile(filepath.Join(dir, u.Name()))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("chaos: ledger: %w", err)
		}
		if ledgers[u.Number], err = ParseChores(text); err != nil {
			return nil, fmt.Errorf("%w of %s", err, u.Name())
		}
	}
	return ledgers, nil
}
