package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/synod-go/synod/coordination"
)

const (
	// firstLine is what a connection reads into at first, room for signs of life: every
	// session has it all the time. maxLine is how long a line of a client is at most, in
	// bytes: a path of the greatest length, escaped.
	firstLine = 64
	maxLine   = 16 << 10
)

// lineReader reads lines from a connection. Between lines it holds little memory.
type lineReader struct {
	conn net.Conn
	held []byte // what has been read and not yet returned
	next int    // where in held the next line begins
}

var errLine = &Error{Code: CodeRequest, Message: "a line of the session is too long", Why: "the limit is " + strconv.Itoa(maxLine) + " bytes"}

// line returns the next line without its end. It is valid until the next call.
func (l *lineReader) line() ([]byte, error) {
	looked := 0
	for {
		rest := l.held[l.next:]
		end := bytes.IndexByte(rest[looked:], '\n')
		switch {
		case len(rest) > maxLine && (end < 0 || looked+end > maxLine):
			return nil, errLine
		case end >= 0:
			l.next += looked + end + 1
			return rest[:looked+end], nil
		}
		looked = len(rest)
		l.makeRoom(rest)
		n, err := l.conn.Read(l.held[len(l.held):cap(l.held)])
		if l.held = l.held[:len(l.held)+n]; n == 0 && err != nil {
			return nil, err
		}
	}
}

// makeRoom moves the rest, a part of a line, to the front of a buffer that has room for
// more, and not much more than that.
func (l *lineReader) makeRoom(rest []byte) {
	size := firstLine
	for size < 2*len(rest) {
		size *= 2
	}
	if cap(l.held) < size || cap(l.held) > 4*size {
		l.held = append(make([]byte, 0, size), rest...)
	} else {
		l.held = l.held[:copy(l.held[:cap(l.held)], rest)]
	}
	l.next = 0
}

// lineKind is what a client asks for with a line.
type lineKind uint8

const (
	lineTouch   lineKind = iota + 1 // confirm this sign of life
	lineWatch                       // begin a watch
	lineUnwatch                     // end it
	lineSync                        // say when all changes up to an index have been sent
)

// sessionLine is one line of a client.
type sessionLine struct {
	kind   lineKind
	number uint64 // of the sign of life or the watch, or the index to wait for
	watch  coordination.Watch
	from   uint64 // the first index wanted; 0: from now on
	once   bool
}

// sessionLineJSON is a line on the wire: it has one of the first four fields.
type sessionLineJSON struct {
	Touch   *uint64 `json:"touch,omitempty"`
	Watch   *uint64 `json:"watch,omitempty"`
	Unwatch *uint64 `json:"unwatch,omitempty"`
	Sync    *uint64 `json:"sync,omitempty"`
	// The rest is for watch.
	Path  string `json:"path,omitempty"`
	Scope string `json:"scope,omitempty"` // node, children or tree. Default node
	From  uint64 `json:"from,omitempty"`
	Once  bool   `json:"once,omitempty"`
}

var scopes = map[string]coordination.Scope{"": coordination.OnNode, "node": coordination.OnNode, "children": coordination.OnChildren, "tree": coordination.OnTree}

func parseSessionLine(line []byte) (m sessionLine, err error) {
	if number, is := parseTouch(line); is {
		return sessionLine{kind: lineTouch, number: number}, nil
	}
	return parseRareLine(line)
}

// parseTouch reads a sign of life as our own client writes it. It needs much less stack
// than encoding/json, and the goroutine of a connection that never needs more keeps to
// a fraction of the memory.
func parseTouch(line []byte) (number uint64, is bool) {
	digits, is := bytes.CutPrefix(line, touchHead)
	if !is || len(digits) < 2 || len(digits) > len("999999999999999999}") || digits[len(digits)-1] != '}' || digits[0] == '0' {
		return 0, false
	}
	for _, digit := range digits[:len(digits)-1] {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		number = 10*number + uint64(digit-'0')
	}
	return number, true
}

var touchHead = []byte(`{"touch":`)

func parseRareLine(line []byte) (m sessionLine, err error) {
	var j sessionLineJSON
	if err := unmarshalStrictly(line, &j); err != nil {
		return m, badRequest("a line of the session cannot be read", err.Error(), `{"touch":1}`)
	}
	asked := 0
	for kind, number := range []*uint64{j.Touch, j.Watch, j.Unwatch, j.Sync} {
		if number != nil {
			m.kind, m.number, asked = lineTouch+lineKind(kind), *number, asked+1
		}
	}
	if asked != 1 {
		return m, badRequest("a line of the session asks for nothing, or for several things", "it has one of touch, watch, unwatch and sync")
	}
	if m.kind != lineWatch {
		if j.Path != "" || j.Scope != "" || j.From != 0 || j.Once {
			return m, badRequest("a line of the session has too much", "path, scope, from and once go with watch")
		}
		return m, nil
	}
	scope, known := scopes[j.Scope]
	if !known {
		return m, badRequest("the scope of a watch is not known", "it is node, children or tree")
	}
	m.watch, m.from, m.once = coordination.Watch{Path: "/" + j.Path, Scope: scope, Limit: changesPage}, j.From, j.Once
	if j.Path == "" && scope != coordination.OnNode {
		return m, nil
	}
	return m, checkPath(j.Path)
}

// What a node sends, a line each.

// appendAlive confirms a sign of life. spread, in milliseconds, is over how much time the
// sessions of the node should spread if their connections end all at once; 0 says nothing.
func appendAlive(b []byte, number, index, spread uint64) []byte {
	b = strconv.AppendUint(append(b, `{"alive":`...), number, 10)
	b = strconv.AppendUint(append(b, `,"index":`...), index, 10)
	if spread > 0 {
		b = strconv.AppendUint(append(b, `,"spread":`...), spread, 10)
	}
	return append(b, "}\n"...)
}

const (
	// connectCost is what one more session is allowed to take of the time in which all
	// sessions of a node that is gone connect to others. A connection costs some 0.3 ms of
	// a core at its new node and as much at its client.
	connectCost = 400 * time.Microsecond
	// minSpread is the shortest time that is worth a word, maxSpread the longest that a
	// client believes, both in milliseconds.
	minSpread, maxSpread = 50, 60_000
)

// spreadOf is over how many milliseconds so many sessions should spread, 0 if they are few.
func spreadOf(sessions int) uint64 {
	if spread := uint64((time.Duration(sessions) * connectCost).Milliseconds()); spread >= minSpread {
		return spread
	}
	return 0
}

func appendWatching(b []byte, number, index uint64) []byte {
	b = strconv.AppendUint(append(b, `{"watching":`...), number, 10)
	b = strconv.AppendUint(append(b, `,"index":`...), index, 10)
	return append(b, "}\n"...)
}

func appendUnwatched(b []byte, number uint64, why *Error) []byte {
	b = strconv.AppendUint(append(b, `{"unwatched":`...), number, 10)
	if why != nil {
		b = append(append(b, `,"error":`...), encodeError(why)...)
	}
	return append(b, "}\n"...)
}

func appendSynced(b []byte, index uint64) []byte {
	return append(strconv.AppendUint(append(b, `{"synced":`...), index, 10), "}\n"...)
}

// moveLine asks the client to go to another node: this one has more than its share.
const moveLine = `{"move":true}` + "\n"

// appendOver says that the session is over, appendBye that another connection may go on.
func appendOver(b []byte, why *Error) []byte {
	return append(append(append(b, `{"over":`...), encodeError(why)...), "}\n"...)
}

func appendBye(b []byte, why *Error) []byte {
	return append(append(append(b, `{"bye":`...), encodeError(why)...), "}\n"...)
}

func encodeError(e *Error) []byte {
	text, err := json.Marshal(e)
	if err != nil { // our own types always encode
		panic(errors.Join(errors.New("api: encode an error"), err))
	}
	return text
}
