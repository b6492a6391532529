package paxos

// defaultMaxValueBytes is the default of MaxValueBytes.
const defaultMaxValueBytes = 1 << 20

func def[T Time | int | uint64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// sane reports whether a duration is positive and so small that no sum of a time
// and a few durations overflows.
func sane(d Time) bool { return d > 0 && d <= 1<<53 }
