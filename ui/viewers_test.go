package ui

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/synod-go/synod/api"
)

func TestTheOtherNodesAreShownTheTokenOfThePageThatWasOpenedLast(t *testing.T) {
	shown := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown <- r.Header.Get("Authorization")
		w.Write([]byte(`{}`))
	}))
	defer other.Close()
	page, err := New(Config{
		Look:  func(context.Context, api.LookOptions) (api.Look, error) { return api.Look{Node: "n1"}, nil },
		Token: func(r *http.Request) string { return r.Header.Get("X-Token") },
	})
	if err != nil {
		t.Fatal(err)
	}
	look, err := page.askAPI("n2", other.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var open []*viewer
	enter := func(token string) {
		r := httptest.NewRequest(http.MethodGet, "/v1/page/events", nil)
		r.Header.Set("X-Token", token)
		open = append(open, page.enter(r))
	}
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { enter("first") }, "Bearer first"},
		{func() { enter("second") }, "Bearer second"},
		{func() { enter("third") }, "Bearer third"},
		{func() { page.exit(open[1]) }, "Bearer third"},
		{func() { page.exit(open[2]) }, "Bearer first"},
		{func() { page.exit(open[0]) }, ""},
	} {
		step.do()
		if _, err := look(t.Context(), api.LookOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := <-shown; got != step.want {
			t.Errorf("shown is %q, want %q", got, step.want)
		}
	}
}
