package api

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// streamTold is what a watch tells that reads parts of streams, each over a connection of its own.
// A part is a list of words: a path, with its index behind it if it is the last one there, or an index.
// What a part breaks off in is of index 5.
func streamTold(o WatchOptions, parts ...string) (told []string, w *watcher) {
	w = &watcher{client: &Client{}, options: o}
	w.f = func(c Change) error {
		more := ""
		if c.More {
			more = "+"
		}
		told = append(told, c.Path+more)
		return nil
	}
	for _, part := range parts {
		var body strings.Builder
		words := strings.Fields(part)
		for i, word := range words {
			path, id, _ := strings.Cut(word, "@")
			index := "5"
			for _, later := range slices.Backward(words[i:]) { // the nearest counts
				if _, at, whole := strings.Cut(later, "@"); whole {
					index = at
				}
			}
			if id != "" {
				fmt.Fprintf(&body, "id: %s\n", id)
			}
			if path != "" {
				fmt.Fprintf(&body, "event: created\ndata: {\"kind\":\"created\",\"path\":%q,\"index\":%s}\n", path, index)
			}
			body.WriteString("\n")
		}
		_ = w.read(&http.Response{Body: io.NopCloser(strings.NewReader(body.String()))}, func() {}) // the body always ends
	}
	return told, w
}

func TestAWatchTellsWhichChangeIsTheLastOfItsIndex(t *testing.T) {
	for _, test := range []struct {
		name  string
		parts []string
		want  string
	}{
		{"one by one", []string{"@4 a@5 b@6"}, "a b"},
		{"at one index", []string{"@4 a b c@5 d@6"}, "a+ b+ c d"},
		{"cut amid an index", []string{"@4 a b", "@4 a b c@5"}, "a+ b+ c"},
		{"cut again and again", []string{"@4 a", "@4 a b", "@4 a", "@4 a b c@5 d@6"}, "a+ b+ c d"},
		{"some hidden meanwhile", []string{"@4 a b", "@4 b c@5"}, "a+ b+ c"},
		{"as many hidden as come", []string{"@4 a b", "@4 c d@5"}, "a+ b+ c+ d"},
		{"the rest hidden", []string{"@4 a b", "@4 a b@5 c@6"}, "a+ b+ b c"},
		{"the rest hidden before another index", []string{"@4 a b", "@4 c d@6"}, "a+ b+ b c+ d"},
		{"all hidden", []string{"@4 a b", "@4 @5 c@6"}, "a+ b+ b c"},
		{"the same twice", []string{"@4 a", "@4 a a b@5"}, "a+ a+ b"},
		{"shown meanwhile", []string{"@4 b", "@4 a b c@5"}, "b+ a+ c"},
	} {
		got, _ := streamTold(WatchOptions{}, test.parts...)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: told %q, want %q", test.name, got, test.want)
		}
	}
}

func TestAWatchForOnceEndsThoughTheRestOfItsIndexIsHidden(t *testing.T) {
	for _, rest := range []string{"@4 a@5", "@4 @6", "@4 b c@6"} {
		got, w := streamTold(WatchOptions{Once: true}, "@4 a", rest)
		if !slices.Equal(got, []string{"a+", "a"}) || !w.done {
			t.Errorf("%s: told %q, at its end: %t", rest, got, w.done)
		}
	}
}
