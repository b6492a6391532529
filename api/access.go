package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/synod-go/synod/coordination"
)

// maxAccess bounds the body of a request about access or quotas, in bytes.
const maxAccess = 64 << 10

// accessJSON is the access list of a key on the wire.
type accessJSON struct {
	Path string `json:"path"`
	ACL  ACL    `json:"acl"` // null: anybody may do anything
	// Version counts how often it was set; the answer only.
	Version int64  `json:"version,omitempty"`
	Index   uint64 `json:"index,omitempty"`
}

// getACL answers with a key's access list, to those who may read the key or set the list.
func (s *Server) getACL(w http.ResponseWriter, r *http.Request) {
	path := r.PathValue("path")
	caller, callerErr := s.caller(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, checkPathOrTop(path), callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	answer, err := s.access(ctx, caller, path)
	if err != nil {
		s.failOrForward(ctx, w, r, nil, err)
		return
	}
	w.Header().Set(headerIndex, strconv.FormatUint(answer.Index, 10))
	s.writeAnswer(w, answer)
}

func (s *Server) access(ctx context.Context, caller coordination.Caller, path string) (accessJSON, error) {
	answer, failed := accessJSON{Path: path}, error(nil)
	err := s.backend().View(ctx, ReadOptions{}, func(tree *coordination.Tree, index uint64) {
		var list coordination.ACL
		list, answer.Version, failed = tree.Access("/" + path)
		answer.ACL, answer.Index = nil, index
		if failed == nil && !tree.Permits("/"+path, coordination.MayRead, caller) && !tree.Permits("/"+path, coordination.MayAdmin, caller) {
			failed = coordination.ErrAccess
		}
		if failed == nil && list != nil {
			answer.ACL = aclOf(list)
		}
	})
	if err == nil && failed != nil {
		err = treeError(failed, path)
	}
	return answer, err
}

// checkPathOrTop is checkPath for what the top has too.
func checkPathOrTop(path string) error {
	if path == "" {
		return nil
	}
	return checkPath(path)
}

// putACL replaces a key's access list.
func (s *Server) putACL(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "created")
	s.putSetting(w, r, q, func(body []byte) (o coordination.Operation, err error) {
		var j struct {
			ACL ACL `json:"acl"`
		}
		if err := unmarshalStrictly(body, &j); err != nil {
			return o, badRequest("the access list cannot be read", err.Error(), `{"acl":[{"scheme":"world","id":"anyone","permissions":"r"}]}`)
		}
		o = coordination.Operation{Kind: coordination.SetACL, CreateIndex: q.number("created")}
		o.ACL, err = j.ACL.grants()
		return o, err
	})
}

// putQuota bounds what may stand at and below a key.
func (s *Server) putQuota(w http.ResponseWriter, r *http.Request) {
	s.putSetting(w, r, newQuery(r), func(body []byte) (o coordination.Operation, err error) {
		var j struct {
			Nodes int64 `json:"nodes"`
			Bytes int64 `json:"bytes"`
		}
		if err := unmarshalStrictly(body, &j); err != nil {
			return o, badRequest("the quota cannot be read", err.Error(), `{"nodes":1000,"bytes":1000000}`)
		}
		if j.Nodes < 0 || j.Bytes < 0 {
			return o, badRequest("a quota is not negative", "0 is no bound")
		}
		return coordination.Operation{Kind: coordination.SetQuota, QuotaNodes: j.Nodes, QuotaBytes: j.Bytes}, nil
	})
}

// putSetting carries out the operation that a body says about the key in the address.
func (s *Server) putSetting(w http.ResponseWriter, r *http.Request, q *query, decode func(body []byte) (coordination.Operation, error)) {
	path := r.PathValue("path")
	q.number("created")
	id, idErr := requestID(r)
	caller, callerErr := s.caller(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, checkPathOrTop(path), idErr, callerErr, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	body, err := s.readUpTo(w, r, maxAccess)
	if err != nil {
		writeError(w, err)
		return
	}
	defer s.bodies.give(cap(body))
	o, err := decode(body)
	if err != nil {
		writeError(w, err)
		return
	}
	o.Path, o.Caller = "/"+path, caller
	done, err := s.write(ctx, o, id)
	if err != nil {
		s.failOrForward(ctx, w, r, body, withRequestID(err, id))
		return
	}
	w.Header().Set(headerIndex, strconv.FormatUint(done.Index, 10))
	writeJSON(w, http.StatusOK, Done{Index: done.Index})
}

// getQuotas lists all quotas.
func (s *Server) getQuotas(w http.ResponseWriter, r *http.Request) {
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(newQuery(r).err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	var list quotaListJSON
	err = s.backend().View(ctx, ReadOptions{}, func(tree *coordination.Tree, index uint64) {
		list = quotaListJSON{Quotas: []Quota{}, Index: index}
		for _, q := range tree.Quotas() {
			list.Quotas = append(list.Quotas, Quota{Path: q.Path[1:], Nodes: q.Nodes, Bytes: q.Bytes, UsedNodes: q.UsedNodes, UsedBytes: q.UsedBytes})
		}
	})
	if err != nil {
		s.failOrForward(ctx, w, r, nil, err)
		return
	}
	s.writeAnswer(w, list)
}

type quotaListJSON struct {
	Quotas []Quota `json:"quotas"`
	Index  uint64  `json:"index"`
}
