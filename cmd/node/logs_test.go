package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/synod-go/synod/api"
)

// The log of one instance cannot be read: the others are shown, and so is what else it
// has written, and who calls from a script learns that something is missing.
func TestLogsThatAreNotAllShownEndWithAnError(t *testing.T) {
	const job = `{"name":"web","state":"done","instances":[{"index":0,"task":"web.0.1"},{"index":1,"task":"web.1.2"}]}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch stream := r.URL.Query().Get("stream"); {
		case r.URL.Path == "/v1/jobs":
			fmt.Fprintf(w, `{"jobs":[%s]}`, job)
		case r.URL.Path == "/v1/jobs/web":
			fmt.Fprint(w, job)
		case strings.Contains(r.URL.Path, "web.0.1") && stream == "stdout":
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"code":"E-NOTFOUND","error":"its sandbox is gone","do":["nothing"]}`)
		case stream == "stdout":
			fmt.Fprintln(w, "served")
		case stream == "stderr":
			fmt.Fprintln(w, "complained")
		}
	}))
	defer s.Close()
	for _, more := range [][]string{nil, {"--follow"}} {
		code, out, told := runNode(append([]string{"logs", "web", "--addr", s.Listener.Addr().String()}, more...)...)
		if code != api.CodeNotFound.Info().Exit || out != "web.1 | served\n" || strings.Count(told, "complained") != 2 ||
			!strings.Contains(told, "of web.0 it cannot be read") {
			t.Errorf("%v: ends with %d; shows %q and tells\n%s", more, code, out, told)
		}
	}
}
