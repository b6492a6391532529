package api

import (
	"errors"
	"io"
	"sync/atomic"
)

// budget bounds the bytes that requests in progress hold together.
type budget struct {
	most int64
	held atomic.Int64
}

// errBudget says that others hold all of it.
var errBudget = errors.New("the requests in progress hold as many bytes as they may")

// take takes n bytes, all or none.
func (b *budget) take(n int) bool {
	if b.held.Add(int64(n)) <= b.most {
		return true
	}
	b.give(n)
	return false
}

func (b *budget) give(n int) { b.held.Add(-int64(n)) }

// firstRead is what a body of unknown length is given at first.
const firstRead = 4 << 10

// readAll reads r to its end, which is expected after at most size bytes. If
// there is no room for so many now it reads nothing, but only what has really
// come is taken from the budget: a promise costs nothing. The caller gives back
// the capacity of what is returned; after an error there is nothing to give back.
func (b *budget) readAll(r io.Reader, size int64) (body []byte, err error) {
	if b.held.Load()+size > b.most {
		return nil, errBudget
	}
	size++ // the room that is left over when the end is read
	for err == nil {
		if len(body) == cap(body) {
			if body, err = b.grow(body, int(min(max(firstRead, 4*int64(cap(body))), max(size, 2*int64(cap(body)))))); err != nil {
				return nil, err
			}
		}
		var n int
		n, err = r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
	}
	if err != io.EOF {
		b.give(cap(body))
		return nil, err
	}
	return body, nil
}

// grow returns body with room for n bytes in all, or gives it back.
func (b *budget) grow(body []byte, n int) ([]byte, error) {
	if !b.take(n - cap(body)) {
		b.give(cap(body))
		return nil, errBudget
	}
	return append(make([]byte, 0, n), body...), nil
}
