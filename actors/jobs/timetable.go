package jobs

import (
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// timetables are schedules that were read, so that each is read once.
type timetables struct {
	mu   sync.Mutex
	read map[string]cron.Schedule // nil for what makes no sense
}

// maxTimetables bounds what is kept.
const maxTimetables = 20_000

func newTimetables() *timetables { return &timetables{read: map[string]cron.Schedule{}} }

// next is when a schedule comes next after a Unix time, in UTC.
func (t *timetables) next(schedule string, after time.Duration) (time.Duration, bool) {
	t.mu.Lock()
	s, known := t.read[schedule]
	if !known {
		s = parse(schedule)
		if len(t.read) >= maxTimetables {
			clear(t.read)
		}
		t.read[schedule] = s
	}
	t.mu.Unlock()
	if s == nil {
		return 0, false
	}
	at := s.Next(time.Unix(0, int64(after)).UTC())
	if at.IsZero() {
		return 0, false
	}
	return time.Duration(at.UnixNano()), true
}

// parse is nil for what makes no sense here: time zones and intervals do not, since every
// master has to find the same times.
func parse(schedule string) cron.Schedule {
	if strings.Contains(schedule, "=") || strings.HasPrefix(schedule, "@every") {
		return nil
	}
	s, err := cron.ParseStandard(schedule)
	if err != nil {
		return nil
	}
	return s
}
