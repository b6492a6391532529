package replica

import (
	"fmt"
	"io"
	"sync"
	"testing"
)

// nothing is a state machine that costs as little as can be.
type nothing struct{ reply []byte }

func (n *nothing) Apply(uint64, int64, []byte) []byte { return n.reply }
func (n *nothing) Snapshot() (io.WriterTo, error)     { return ledgerPicture{}, nil }
func (n *nothing) Restore(r io.Reader) error          { return nil }

// BenchmarkApply varies how a command is made repeatable, in batches of 64.
func BenchmarkApply(b *testing.B) {
	command := make([]byte, 128)
	for name, envelope := range map[string]func(i uint64) Envelope{
		"plain": func(uint64) Envelope { return Envelope{Kind: KindPlain} },
		"session": func(i uint64) Envelope {
			return Envelope{Kind: KindSession, Session: 1, Sequence: i, AckedBelow: max(i, 100) - 99}
		},
		"request": func(i uint64) Envelope {
			return Envelope{Kind: KindRequest, Request: requestAt(startTime+int64(i/20), i)}
		},
	} {
		b.Run(name, func(b *testing.B) {
			r := mustNew(b, Config{}, &nothing{reply: make([]byte, 32)})
			if err := r.Apply([]Entry{{1, Envelope{Kind: KindRegister, Time: startTime}.Append(nil)}}, nil); err != nil {
				b.Fatal(err)
			}
			entries, results := make([]Entry, 64), make([]Result, 64)
			data := make([]byte, 0, 64*256)
			b.ReportAllocs()
			for i := 0; i < b.N; i += len(entries) {
				data = data[:0]
				for k := range entries {
					e := envelope(uint64(i + k + 1))
					e.Time, e.Command = startTime+int64(i/20), command
					start := len(data)
					data = e.Append(data)
					entries[k] = Entry{Index: uint64(i + k + 2), Data: data[start:]}
				}
				if err := r.Apply(entries, results); err != nil {
					b.Fatal(err)
				}
				if results[63].Code != CodeApplied {
					b.Fatalf("code %d", results[63].Code)
				}
			}
		})
	}
}

// BenchmarkView varies how many goroutines read at a time, with nothing being
// applied and with batches applied all the time.
func BenchmarkView(b *testing.B) {
	for _, writing := range []bool{false, true} {
		b.Run(fmt.Sprintf("writing=%t", writing), func(b *testing.B) {
			r := mustNew(b, Config{}, &nothing{})
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for index := uint64(1); writing; index++ {
					select {
					case <-stop:
						return
					default:
						_ = r.Apply([]Entry{{index, Envelope{Kind: KindPlain}.Append(nil)}}, nil)
					}
				}
			}()
			var total sync.Map
			b.RunParallel(func(pb *testing.PB) {
				var sum uint64
				for pb.Next() {
					_ = r.View(func(index uint64) { sum += index })
				}
				total.Store(&sum, sum)
			})
			close(stop)
			<-done
		})
	}
}

// BenchmarkSnapshot takes a picture of full tables, without writing it: how
// long nothing can be applied.
func BenchmarkSnapshot(b *testing.B) {
	r := mustNew(b, Config{}, &nothing{reply: make([]byte, 32)})
	for range 10_000 {
		_ = r.Apply([]Entry{{r.Applied() + 1, Envelope{Kind: KindRegister, Time: startTime}.Append(nil)}}, nil)
	}
	for i := range uint64(1 << 18) {
		e := Envelope{Kind: KindRequest, Time: startTime, Request: requestAt(startTime, i)}
		_ = r.Apply([]Entry{{r.Applied() + 1, e.Append(nil)}}, nil)
	}
	if st := r.Status(); st.Sessions != 10_000 || st.Requests != 1<<18 {
		b.Fatalf("%+v", st)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}
