package api

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/synod-go/synod/coordination"
)

// MaxPage is the most entries in one page of a listing.
const MaxPage = 1000

const defaultPage = 100

// query reads the parameters of a request and remembers the first mistake.
type query struct {
	values url.Values
	err    error
}

// newQuery refuses parameters that the request does not know, so that a typing
// error does not turn a compare-and-set into a plain write.
func newQuery(r *http.Request, known ...string) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &query{err: badRequest("the query cannot be read", err.Error())}
	}
	for name, given := range values {
		if !slices.Contains(known, name) {
			return &query{err: badRequest(fmt.Sprintf("unknown parameter %q", name), "",
				"known here: "+strings.Join(known, ", "))}
		}
		if len(given) > 1 {
			return &query{err: badRequest(fmt.Sprintf("parameter %q is given %d times", name, len(given)), "")}
		}
	}
	return &query{values: values}
}

// flag reports whether a parameter is there: "?list", "?list=true" or "?list=1".
func (q *query) flag(name string) bool {
	text := q.values.Get(name)
	if !q.values.Has(name) || text == "" {
		return q.values.Has(name)
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		q.fail(name, text, "it is true or false")
	}
	return on
}

func (q *query) number(name string) uint64 {
	if !q.values.Has(name) {
		return 0
	}
	text := q.values.Get(name)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		q.fail(name, text, "it is a whole number, 0 or more")
	}
	return n
}

// version is nil when the parameter is not given: 0 means "must not exist".
func (q *query) version() *uint64 {
	if !q.values.Has("version") {
		return nil
	}
	n := q.number("version")
	if n > math.MaxInt64 {
		q.fail("version", q.values.Get("version"), "no key has so many")
	}
	return &n
}

func (q *query) limit() int {
	if !q.values.Has("limit") {
		return defaultPage
	}
	n := q.number("limit")
	if n < 1 || n > MaxPage {
		q.fail("limit", q.values.Get("limit"), fmt.Sprintf("it is 1 to %d", MaxPage))
		return defaultPage
	}
	return int(n)
}

func (q *query) read() ReadOptions {
	level := Level(q.values.Get("level"))
	switch level {
	case "":
		level = Linearizable
	case Linearizable, Lease, Sequential, Stale:
	default:
		q.fail("level", string(level), "it is linearizable, lease, sequential or stale")
	}
	options := ReadOptions{Level: level, MinIndex: q.number("index")}
	if options.MinIndex > 0 && level != Sequential {
		q.fail("index", q.values.Get("index"), "it goes with level=sequential only")
	}
	return options
}

func (q *query) fail(name, text, why string) {
	if q.err == nil {
		q.err = badRequest(fmt.Sprintf("parameter %s=%q is not valid", name, text), why)
	}
}

// requestID reads the id that makes a write safe to repeat.
func requestID(r *http.Request) (RequestID, error) {
	text := r.Header.Get(headerRequestID)
	if text == "" {
		return RequestID{}, nil
	}
	return ParseRequestID(text)
}

// NewRequestID returns an id that no other write has.
func NewRequestID() RequestID { return RequestID(ulid.Make()) }

// ParseRequestID reads the 26 characters of a ULID. It fails with CodeRequest.
func ParseRequestID(text string) (RequestID, error) {
	id, err := ulid.ParseStrict(text)
	if err != nil || id.IsZero() {
		return RequestID{}, badRequest(fmt.Sprintf("request id %q is not valid", text),
			"it is a ULID, 26 characters, for example "+ulid.Make().String())
	}
	return RequestID(id), nil
}

// String returns the 26 characters of the id, or "" for the zero value.
func (id RequestID) String() string {
	if id == (RequestID{}) {
		return ""
	}
	return ulid.ULID(id).String()
}

// checkPath refuses what no key can be named.
func checkPath(path string) error {
	if path == "" {
		return badRequest("the key is empty", "", "name a key, for example /v1/kv/colour")
	}
	if err := coordination.CheckPath("/" + path); err != nil {
		why := strings.TrimPrefix(err.Error(), coordination.ErrInvalidPath.Error()+": ")
		return badRequest(fmt.Sprintf("%.100q is not the name of a key", path), why)
	}
	return nil
}
