package main

import (
	"slices"
	"testing"
)

func TestWordsComeBackAsTheyWere(t *testing.T) {
	for _, words := range [][]string{{"hostname"}, {"cat", "/shared/a b"}, {"x", "", "it's", `"q"`, `a\b`, "$HOME", "a\nb", "é"}} {
		back, err := split(quoted(words))
		if err != nil || !slices.Equal(back, words) {
			t.Errorf("%q became %q, %v by way of %s", words, back, err, quoted(words))
		}
	}
	if got, err := split(` a  "b c"\ d `); err != nil || !slices.Equal(got, []string{"a", "b c d"}) {
		t.Errorf("split into %q, %v", got, err)
	}
	for _, wrong := range []string{"'a", `"a`, `a\`} {
		if words, err := split(wrong); err == nil {
			t.Errorf("%s is split into %q, wanted an error", wrong, words)
		}
	}
}
