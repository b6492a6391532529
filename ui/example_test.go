package ui_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/ui"
)

// The page of a program's own is served beside what else the program serves. A node of the same process needs
// ui.Mount alone; here what the page looks at is something else.
func ExampleNew() {
	page, err := ui.New(ui.Config{Look: func(context.Context, api.LookOptions) (api.Look, error) { return api.Look{}, nil }})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
