package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

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

// version is nil when the parameter is not given.
func (q *query) version() *uint64 {
	if !q.values.Has("version") {
		return nil
	}
	n := q.number("version")
	return &n
}

// expected is the version that a key must have. 0 on the wire, if it may be, says that
// there must be no key.
func (q *query) expected(absent bool) int64 {
	expected, err := expectedVersion(q.version(), absent)
	if err != nil && q.err == nil {
		q.err = err
	}
	return expected
}

func expectedVersion(version *uint64, absent bool) (int64, error) {
	switch {
	case version == nil:
		return coordination.AnyVersion, nil
	case *version > math.MaxInt64:
		return 0, badRequest(fmt.Sprintf("parameter version=%d is not valid", *version), "no key has so many")
	case *version > 0:
		return int64(*version), nil
	case absent:
		return coordination.Unwritten, nil
	}
	return 0, badRequest("a key that must not exist cannot be deleted or checked", "version=0 was given")
}

// scope is which changes around a path a watch wants.
func (q *query) scope() coordination.Scope {
	recursive, children := q.flag("recursive"), q.flag("children")
	switch {
	case recursive && children && q.err == nil:
		q.err = badRequest("recursive and children exclude each other", "children are part of everything below")
	case recursive:
		return coordination.OnTree
	case children:
		return coordination.OnChildren
	}
	return coordination.OnNode
}

// modes are the names of how long a key lives.
var modes = map[Mode]coordination.Mode{"": coordination.Persistent, Persistent: coordination.Persistent, Ephemeral: coordination.Ephemeral,
	Container: coordination.Container, TTL: coordination.TTL}

func parseMode(m Mode) (coordination.Mode, error) {
	mode, known := modes[m]
	if !known {
		return 0, badRequest(fmt.Sprintf("mode %.100q is not valid", m), "it is persistent, ephemeral, container or ttl")
	}
	return mode, nil
}

func (q *query) mode() coordination.Mode {
	mode, err := parseMode(Mode(q.values.Get("mode")))
	if err != nil && q.err == nil {
		q.err = err
	}
	return mode
}

// parseMilliseconds reads a duration of at least a millisecond; "" is 0.
func parseMilliseconds(name, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		return 0, badRequest(fmt.Sprintf("%s %.100q is not valid", name, text), "it is a time such as 10s or 500ms, at least 1ms")
	}
	return d.Milliseconds(), nil
}

func (q *query) milliseconds(name string) int64 {
	ms, err := parseMilliseconds(name, q.values.Get(name))
	if err != nil && q.err == nil {
		q.err = err
	}
	return ms
}

// acl is an access list in JSON.
func (q *query) acl() coordination.ACL {
	text := q.values.Get("acl")
	if text == "" {
		return nil
	}
	var acl ACL
	err := unmarshalStrictly([]byte(text), &acl)
	if err != nil {
		q.fail("acl", fmt.Sprintf("%.100s", text), err.Error())
		return nil
	}
	list, err := acl.grants()
	if err != nil && q.err == nil {
		q.err = err
	}
	return list
}

// maxDepth is how deep a request's JSON may be nested.
const maxDepth = 64

// CheckDepth refuses JSON that is nested deeper than any that we take: 64.
func CheckDepth(data []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("it is nested deeper than %d", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// unmarshalStrictly reads one JSON document and refuses fields that v does not have.
func unmarshalStrictly(data []byte, v any) error {
	if err := CheckDepth(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the document ends too early") // and not the connection
	} else if err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the document")
	}
	return nil
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

// orNew returns id, or a new one if it is zero.
func (id RequestID) orNew() RequestID {
	if id == (RequestID{}) {
		return NewRequestID()
	}
	return id
}

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
