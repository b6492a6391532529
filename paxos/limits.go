package paxos

// defaultMaxValueBytes is the default of MaxValueBytes.
const defaultMaxValueBytes = 1 << 20

func def[T Time | int | uint64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
