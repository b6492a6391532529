package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net/http"
	"os"
	"strings"
)

// maxCell bounds what somebody writes at once.
const maxCell = 64 << 10

// page is a notebook of the smallest kind: cells of text, kept in the shared directory.
type page struct {
	*store
	secret string
}

func newPage(s *store, secret string) http.Handler {
	p := &page{s, secret}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("GET /api/cells", p.list)
	mux.HandleFunc("POST /api/cells", p.write)
	return p.guard(mux)
}

const cookie = "lab-token"

// guard lets in who knows the token: in the address, once, from where it becomes a cookie, or in a
// header, as with Jupyter.
func (p *page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := strings.TrimPrefix(r.Header.Get("Authorization"), "token ")
		if c, err := r.Cookie(cookie); err == nil && given == "" {
			given = c.Value
		}
		asked := r.URL.Query().Get("token")
		if given == "" {
			given = asked
		}
		if p.secret == "" || subtle.ConstantTimeCompare([]byte(given), []byte(p.secret)) != 1 {
			http.Error(w, "the token is needed: /?token=TOKEN", http.StatusForbidden)
			return
		}
		if asked != "" {
			http.SetCookie(w, &http.Cookie{Name: cookie, Value: given, HttpOnly: true, SameSite: http.SameSiteStrictMode, Path: "/"})
		}
		next.ServeHTTP(w, r)
	})
}

// contents is the notebook as programs see it.
type contents struct {
	Member string `json:"member"` // the address of who serves it
	Host   string `json:"host"`
	Token  uint64 `json:"token"`
	Cells  []cell `json:"cells"`
}

func (p *page) contents() (c contents, err error) {
	c = contents{Member: p.member, Token: p.token}
	c.Host, _ = os.Hostname()
	c.Cells, err = p.cells()
	return c, err
}

var html = template.Must(template.New("page").Parse(`<!doctype html>
<title>notebook</title>
<style>body { font: 16px sans-serif; max-width: 40em; margin: 2em auto } pre { background: #eee; padding: .5em; white-space: pre-wrap }</style>
<h1>Notebook</h1>
<p>Served by the leader, {{.Member}} (container {{.Host}}), with token {{.Token}}.</p>
{{range .Cells}}<pre>{{.Text}}</pre>
{{end}}<form method="post" action="/api/cells"><textarea name="text" rows="4" cols="60"></textarea><br><button>Save</button></form>
`))

func (p *page) show(w http.ResponseWriter, _ *http.Request) {
	c, err := p.contents()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = html.Execute(w, c) // who has gone needs no page
}

func (p *page) list(w http.ResponseWriter, _ *http.Request) {
	c, err := p.contents()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(c)
}

// write saves a cell: the field text of a form, or the body.
func (p *page) write(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxCell)
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	text := ""
	if form {
		text = r.PostFormValue("text")
	} else if body, err := io.ReadAll(r.Body); err == nil {
		text = string(body)
	}
	if text == "" {
		http.Error(w, "a cell has 1 byte to 64 KiB of text", http.StatusBadRequest)
		return
	}
	switch err := p.add(text); {
	case errors.Is(err, errFenced):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case form:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		p.list(w, r)
	}
}
