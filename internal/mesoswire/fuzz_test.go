package mesoswire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// What can be read can be written, and is read again as the same.
func fuzz[T any](f *testing.F, draw func(gen) T, appendTo func([]byte, T) ([]byte, error), parse func([]byte) (T, error)) {
	for seed := range 40 {
		data, err := appendTo(nil, rapid.Custom(func(t *rapid.T) T { return draw(gen{t}) }).Example(seed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		first, err := parse(data)
		if !bytes.Equal(before, data) {
			t.Fatal("parsing has changed its argument")
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		again, err := appendTo(nil, first)
		if err != nil {
			t.Fatalf("%#v was read, and cannot be written: %v", first, err)
		}
		second, err := parse(again)
		if err != nil || !reflect.DeepEqual(first, second) {
			t.Fatalf("%#v came back as %#v, %v", first, second, err)
		}
	})
}

func FuzzMessage(f *testing.F)  { fuzz(f, gen.message, AppendMessage, ParseMessage) }
func FuzzCall(f *testing.F)     { fuzz(f, gen.call, AppendCall, ParseCall) }
func FuzzEvent(f *testing.F)    { fuzz(f, gen.event, AppendEvent, ParseEvent) }
func FuzzTaskInfo(f *testing.F) { fuzz(f, gen.taskInfo, AppendTaskInfo, ParseTaskInfo) }
