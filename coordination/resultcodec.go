package coordination

import (
	"encoding/binary"
	"fmt"
)

// An encoded result:
//
//	size    field
//	1       code; the highest bit tells that there are extras
//	uvarint Index
//	uvarint Nodes
//	rest    nothing, or the Stat's fields but ACLVersion; with extras: each a tag and
//	        its value, by ascending tag
const resultExtras = 0x80

// Tags of a result's extras.
const (
	tagStat        = 1
	tagACLVersion  = 2
	tagPath        = 3
	tagOpened      = 4 // SessionInfo's fields
	tagFailed      = 5
	tagResults     = 6 // each with its length before it
	tagExpired     = 7
	lastResultsTag = tagExpired
)

// appendTo encodes r.
func (r *Result) appendTo(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, byte(r.Code))
	dst = binary.AppendUvarint(dst, r.Index)
	dst = binary.AppendUvarint(dst, r.Nodes)
	if r.plain() {
		if r.Stat == (Stat{}) {
			return dst
		}
		return r.Stat.appendTo(dst)
	}
	dst[at] |= resultExtras
	return r.appendExtras(dst)
}

// plain reports whether r has nothing but what the result of a Put has.
func (r *Result) plain() bool {
	return r.Stat.ACLVersion == 0 && r.Path == "" && r.Session.ID == 0 && r.Failed == 0 && len(r.Results) == 0 &&
		r.Expired == 0
}

func (r *Result) appendExtras(dst []byte) []byte {
	if r.Stat != (Stat{}) {
		dst = r.Stat.appendTo(append(dst, tagStat))
	}
	dst = appendField(dst, tagACLVersion, uint64(r.Stat.ACLVersion))
	if r.Path != "" {
		dst = appendString(append(dst, tagPath), r.Path)
	}
	if s := &r.Session; s.ID != 0 {
		dst = append(dst, tagOpened)
		for _, v := range [...]uint64{s.ID, uint64(s.Timeout), uint64(s.Linger), uint64(s.Opened), uint64(s.Ephemerals),
			s.Connection, bit(s.Unbound)} {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	dst = appendField(dst, tagFailed, uint64(r.Failed))
	if len(r.Results) > 0 {
		dst = binary.AppendUvarint(append(dst, tagResults), uint64(len(r.Results)))
		for i := range r.Results {
			dst = appendString(dst, string(r.Results[i].appendTo(nil)))
		}
	}
	return appendField(dst, tagExpired, uint64(r.Expired))
}

// DecodeResult reads what [Tree.Apply] returned. The error matches
// [ErrMalformed].
func DecodeResult(data []byte) (Result, error) {
	d := decoder{data: data}
	r := d.result(false)
	if d.bad {
		return Result{}, fmt.Errorf("%w: result of %d bytes", ErrMalformed, len(data))
	}
	return r, nil
}

// result reads all there is; a part of a Multi's has no parts itself.
func (d *decoder) result(part bool) Result {
	head := d.next(1)
	if d.bad {
		return Result{}
	}
	r := Result{Code: Code(head[0] &^ resultExtras), Index: d.number(), Nodes: d.number()}
	if head[0]&resultExtras == 0 {
		if len(d.data) > 0 {
			r.Stat = d.stat()
		}
		if len(d.data) > 0 {
			d.fail()
		}
		return r
	}
	for last := uint64(0); len(d.data) > 0; {
		tag := d.upTo(lastResultsTag)
		if tag <= last || part && tag == tagResults {
			d.fail()
			break
		}
		d.resultExtra(&r, tag)
		last = tag
	}
	return r
}

func (d *decoder) resultExtra(r *Result, tag uint64) {
	switch tag {
	case tagStat:
		version := r.Stat.ACLVersion
		r.Stat = d.stat()
		r.Stat.ACLVersion = version
	case tagACLVersion:
		r.Stat.ACLVersion = int64(d.upTo(most))
	case tagPath:
		r.Path = string(d.bytes(MaxPathBytes))
	case tagOpened:
		r.Session = SessionInfo{ID: d.number(), Timeout: int64(d.number()), Linger: int64(d.number()),
			Opened: int64(d.number()), Ephemerals: int(d.number()), Connection: d.number(), Unbound: d.upTo(1) == 1}
		if r.Session.ID == 0 {
			d.fail()
		}
	case tagFailed:
		r.Failed = int(d.upTo(MaxOperations))
	case tagResults:
		for n := d.upTo(MaxOperations); n > 0 && !d.bad; n-- {
			part := decoder{data: d.bytes(most)}
			r.Results = append(r.Results, part.result(true))
			d.bad = d.bad || part.bad
		}
	case tagExpired:
		r.Expired = int(d.upTo(MaxExpired))
	}
}
