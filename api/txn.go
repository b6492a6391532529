package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/synod-go/synod/coordination"
)

const (
	// maxTxn is how many operations a transaction has at most, and maxTxnBytes how long
	// its request is.
	maxTxn      = 1024
	maxTxnBytes = 4 << 20
)

// txnJSON is a transaction on the wire.
type txnJSON struct {
	Operations []txnOperationJSON `json:"operations"`
}

type txnOperationJSON struct {
	Op   string `json:"op"`
	Path string `json:"path"`
	valueJSON
	Version    *uint64 `json:"version,omitempty"`
	Created    uint64  `json:"created,omitempty"`
	Recursive  bool    `json:"recursive,omitempty"`
	Mode       Mode    `json:"mode,omitempty"`
	TTL        string  `json:"ttl,omitempty"`
	Sequential bool    `json:"sequential,omitempty"`
	NeedParent bool    `json:"need_parent,omitempty"`
	ACL        ACL     `json:"acl,omitempty"`
}

// txnKinds are the operations by name.
var txnKinds = map[string]coordination.OperationKind{"create": coordination.Create, "put": coordination.Put,
	"delete": coordination.Delete, "check": coordination.Check}

func (t txnJSON) operation() (coordination.Operation, error) {
	multi := coordination.Operation{Kind: coordination.Multi}
	switch n := len(t.Operations); {
	case n == 0:
		return multi, badRequest("the transaction is empty", "", `{"operations":[{"op":"put","path":"colour","value":"blue"}]}`)
	case n > maxTxn:
		return multi, badRequest("the transaction is too long", fmt.Sprintf("it has %d operations, the limit is %d", n, maxTxn))
	}
	for i, j := range t.Operations {
		o, err := j.operation()
		if err != nil {
			return multi, failedAt(i, asError(err))
		}
		multi.Operations = append(multi.Operations, o)
	}
	return multi, nil
}

// failedAt names the operation in its error.
func failedAt(i int, e *Error) *Error {
	copied := *e
	copied.Failed, copied.Message = &i, fmt.Sprintf("operation %d of the transaction: %s", i, e.Message)
	return &copied
}

func (j txnOperationJSON) operation() (o coordination.Operation, err error) {
	kind, known := txnKinds[j.Op]
	if !known {
		return o, badRequest(fmt.Sprintf("op %.100q is not known", j.Op), "it is create, put, delete or check")
	}
	o = coordination.Operation{Kind: kind, Path: "/" + j.Path, Data: j.bytes(), CreateIndex: j.Created, Recursive: j.Recursive,
		Sequential: j.Sequential}
	if err := j.fits(kind); err != nil {
		return o, err
	}
	if o.Version, err = expectedVersion(j.Version, kind == coordination.Put); err != nil {
		return o, err
	}
	if kind != coordination.Create {
		return o, checkWritten(o)
	}
	o.MakeParents = !j.NeedParent
	var modeErr, ttlErr, aclErr error
	o.Mode, modeErr = parseMode(j.Mode)
	o.TTL, ttlErr = parseMilliseconds("ttl", j.TTL)
	o.ACL, aclErr = j.ACL.grants()
	return o, errors.Join(modeErr, ttlErr, aclErr, checkWritten(o))
}

// fits refuses fields that the operation does not have.
func (j txnOperationJSON) fits(kind coordination.OperationKind) error {
	creates := kind == coordination.Create
	for _, field := range []struct {
		name  string
		given bool
		known bool
	}{
		{"value", len(j.bytes()) > 0, creates || kind == coordination.Put},
		{"version", j.Version != nil, !creates},
		{"created", j.Created != 0, !creates},
		{"recursive", j.Recursive, kind == coordination.Delete},
		{"mode", j.Mode != "", creates},
		{"ttl", j.TTL != "", creates},
		{"sequential", j.Sequential, creates},
		{"need_parent", j.NeedParent, creates},
		{"acl", j.ACL != nil, creates},
	} {
		if field.given && !field.known {
			return badRequest(fmt.Sprintf("%s does not go with %s", field.name, j.Op), "")
		}
	}
	return nil
}

// postTxn carries out a transaction.
func (s *Server) postTxn(w http.ResponseWriter, r *http.Request) {
	id, idErr := requestID(r)
	caller, callerErr := s.caller(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, idErr, callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	body, err := s.readUpTo(w, r, maxTxnBytes)
	if err != nil {
		writeError(w, err)
		return
	}
	defer s.bodies.give(cap(body))
	multi, err := decodeTxn(body)
	if err != nil {
		writeError(w, err)
		return
	}
	multi.Caller = caller
	done, err := s.commit(ctx, multi, id)
	if err != nil {
		s.failOrForward(ctx, w, r, body, withRequestID(err, id))
		return
	}
	w.Header().Set(headerIndex, strconv.FormatUint(done.Index, 10))
	writeJSON(w, http.StatusOK, done)
}

func decodeTxn(body []byte) (coordination.Operation, error) {
	var t txnJSON
	if err := unmarshalStrictly(body, &t); err != nil {
		return coordination.Operation{}, badRequest("the transaction cannot be read", err.Error(),
			`{"operations":[{"op":"put","path":"colour","value":"blue"}]}`)
	}
	return t.operation()
}

func (s *Server) commit(ctx context.Context, multi coordination.Operation, id RequestID) (Committed, error) {
	r, err := s.backend().Propose(ctx, multi, id)
	if err != nil {
		return Committed{}, err
	}
	if r.Err() != nil {
		return Committed{}, txnRefusal(multi, r)
	}
	done := Committed{Index: r.Index, Results: make([]Written, len(r.Results))}
	for i, one := range r.Results {
		done.Results[i] = writtenOf(multi.Operations[i], one, r.Index)
	}
	return done, nil
}

// txnRefusal is the error of the operation for which a transaction was refused, or that of
// the whole if none is to blame.
func txnRefusal(multi coordination.Operation, r coordination.Result) *Error {
	if r.Failed >= len(r.Results) || r.Failed >= len(multi.Operations) {
		e := treeError(r.Err(), "")
		if e.Code == CodeRequest {
			e.Message = "the transaction is refused"
		}
		return e
	}
	one := r.Results[r.Failed]
	if one.Err() == nil {
		one.Code = r.Code
	}
	return failedAt(r.Failed, refusal(multi.Operations[r.Failed], one))
}
