package mesoswire

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/synod-go/synod/mesos"
)

// A field that package mesos gets is not carried before somebody sees to it: this goes red.
func TestEveryFieldIsTried(t *testing.T) {
	tried := map[string]bool{"Call.Request": true, "Call.Stream": true} // a header carries them
	seen := map[string]bool{}
	draw := rapid.Custom(func(t *rapid.T) [3]any { return [3]any{gen{t}.message(), gen{t}.call(), gen{t}.event()} })
	for seed := range 400 {
		for _, v := range draw.Example(seed) {
			notice(reflect.ValueOf(v), seen, tried)
		}
	}
	for field := range seen {
		if !tried[field] {
			t.Errorf("%s is never set: nobody knows whether it is carried", field)
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d fields in all: the test looks at too few", len(seen))
	}
}

func notice(v reflect.Value, seen, set map[string]bool) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			notice(v.Elem(), seen, set)
		}
	case reflect.Slice:
		for i := range v.Len() {
			notice(v.Index(i), seen, set)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[mesos.Resources]() {
			return
		}
		for i := range v.NumField() {
			name := fmt.Sprintf("%s.%s", v.Type().Name(), v.Type().Field(i).Name)
			seen[name] = true
			set[name] = set[name] || !v.Field(i).IsZero()
			notice(v.Field(i), seen, set)
		}
	}
}
