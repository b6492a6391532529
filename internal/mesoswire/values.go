package mesoswire

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/messages"
)

// optional is nil for the zero value, which is the same as none.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// nonempty is nil for an empty slice.
func nonempty[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

// id16 reads an id of 16 bytes; nothing is the zero id.
func id16[T ~[16]byte](field string, b []byte) (id T, err error) {
	if len(b) != 0 && len(b) != len(id) {
		return id, malformed(field, fmt.Sprintf("has %d bytes, must have 16", len(b)))
	}
	copy(id[:], b)
	return id, nil
}

// bytesOf is nil for the zero id.
func bytesOf(id [16]byte) []byte {
	if id == [16]byte{} {
		return nil
	}
	return id[:]
}

// enum reads a number that has to be one of names; none is otherwise.
func enum[E ~int32, T ~uint8](field string, e *E, names map[int32]string, otherwise T) (T, error) {
	if e == nil {
		return otherwise, nil
	}
	if _, ok := names[int32(*e)]; !ok {
		return otherwise, malformed(field, fmt.Sprintf("is %d, which is none of its values", int32(*e)))
	}
	return T(*e), nil
}

// nanoseconds reads a duration that must not be negative.
func nanoseconds(field string, n int64) (time.Duration, error) {
	if n < 0 {
		return 0, malformed(field, "is negative")
	}
	return time.Duration(n), nil
}

func durationToWire(d time.Duration) *messages.DurationInfo {
	if d == 0 {
		return nil
	}
	return &messages.DurationInfo{Nanoseconds: proto.Int64(int64(d))}
}

func durationFromWire(field string, d *messages.DurationInfo) (time.Duration, error) {
	if d != nil && d.Nanoseconds == nil {
		return 0, missing(field + ".nanoseconds")
	}
	return nanoseconds(field, d.GetNanoseconds())
}

func graceToWire(d time.Duration) *messages.KillPolicy {
	if d == 0 {
		return nil
	}
	return &messages.KillPolicy{GracePeriod: durationToWire(d)}
}

func graceFromWire(p *messages.KillPolicy) (time.Duration, error) {
	return durationFromWire("kill_policy.grace_period", p.GetGracePeriod())
}

// seconds reads seconds that must not be negative, nor more than a duration can be.
func seconds(field string, s float64) (time.Duration, error) {
	switch n := math.Round(s * 1e9); {
	case math.IsNaN(s) || s < 0:
		return 0, malformed(field, fmt.Sprintf("is %v, must be 0 or more", s))
	case n >= math.MaxInt64:
		return 0, malformed(field, "is more than 292 years")
	default:
		return time.Duration(n), nil
	}
}

// secondsOf is nil for 0.
func secondsOf(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	return proto.Float64(float64(d) / 1e9)
}

// exactly is d in nanoseconds if secondsOf loses some of it, otherwise nil.
func exactly(d time.Duration) *int64 {
	if n, err := seconds("", float64(d)/1e9); err == nil && n == d {
		return nil
	}
	return proto.Int64(int64(d))
}

// exactSeconds reads what secondsOf and exactly have written.
func exactSeconds(field string, s float64, exact *int64) (time.Duration, error) {
	if exact != nil {
		return nanoseconds(field, *exact)
	}
	return seconds(field, s)
}

// defaultRefuse stands for the default, as any negative duration does. maxRefuse is what
// more is taken for (L-).
const (
	defaultRefuse = -1 * time.Nanosecond
	maxRefuse     = 365 * 24 * time.Hour
)

func filtersToWire(refuse time.Duration) *messages.Filters {
	if refuse < 0 {
		return nil
	}
	return &messages.Filters{RefuseSeconds: proto.Float64(float64(min(refuse, maxRefuse)) / 1e9)}
}

func filtersFromWire(f *messages.Filters) time.Duration {
	switch s := f.GetRefuseSeconds(); {
	case f == nil || f.RefuseSeconds == nil || math.IsNaN(s) || s < 0:
		return defaultRefuse
	case s >= maxRefuse.Seconds():
		return maxRefuse
	default:
		return time.Duration(math.Round(s * 1e9))
	}
}

func labelsToWire(labels map[string]string) *messages.Labels {
	if len(labels) == 0 {
		return nil
	}
	out := &messages.Labels{Labels: make([]*messages.Label, 0, len(labels))}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out.Labels = append(out.Labels, &messages.Label{Key: proto.String(k), Value: proto.String(labels[k])})
	}
	return out
}

// labelsFromWire takes the last of labels with one key.
func labelsFromWire(l *messages.Labels) (map[string]string, error) {
	if len(l.GetLabels()) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(l.Labels))
	for i, x := range l.Labels {
		if x.Key == nil {
			return nil, missing("labels.labels[" + strconv.Itoa(i) + "].key")
		}
		out[*x.Key] = x.GetValue()
	}
	return out, nil
}

func nonemptyMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}
