package storage

// Memory is the in-memory file system; its faults come with it.
type Memory struct{ FS }

func NewMemory(seed uint64) *Memory { panic("") }
func OS() FS                        { panic("") }

type Report struct{}

func Inspect(fs FS, dir string) (*Report, error) { panic("") }
