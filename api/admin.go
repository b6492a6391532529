package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// getStatus answers with the leader's view, or with this node's own when none
// leads or "local" is given.
func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "local")
	local := q.flag("local") || r.Header.Get(headerForwarded) != ""
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	status, err := s.backend().Status(ctx)
	if err != nil {
		writeError(w, err)
		return
	}
	if !local && status.Leader != "" && status.Leader != status.Node {
		if answered := s.leaderStatus(ctx, w, r, status); answered {
			return
		}
		// What gossip says of the others is seconds old: without the leader nobody
		// knows that all is well.
		status.Reasons = append(status.Reasons, "the leader "+status.Leader+" does not answer")
		status.Leader, status.Healthy, status.Tolerates = "", false, 0
	}
	s.writeAnswer(w, status)
}

// leaderStatus answers with the leader's view if it can be had.
func (s *Server) leaderStatus(ctx context.Context, w http.ResponseWriter, r *http.Request, status Status) bool {
	at := slices.IndexFunc(status.Members, func(m MemberStatus) bool { return m.Name == status.Leader })
	if at < 0 || status.Members[at].API == "" {
		return false
	}
	var answer Status
	leader := Leader{Name: status.Leader, API: status.Members[at].API}
	if err := s.ask(ctx, r, leader, "/v1/status", &answer); err != nil || answer.Role != "leader" {
		return false
	}
	s.writeAnswer(w, answer)
	return true
}

// getMembers answers with the leader's view, or with this node's own when the leader does not answer or "local" is given.
func (s *Server) getMembers(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "local")
	local := q.flag("local") || r.Header.Get(headerForwarded) != ""
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	members, err := s.backend().Members(ctx)
	if err == nil && !local {
		members = s.leaderMembers(ctx, r, members)
	}
	s.answer(ctx, w, r, members, err)
}

// leaderPatience is how long a node waits for the leader's view before it tells its own.
const leaderPatience = time.Second

// leaderMembers are the members as the leader sees them, or as this node does where the leader does not answer.
func (s *Server) leaderMembers(ctx context.Context, r *http.Request, own MemberList) MemberList {
	at := slices.IndexFunc(own.Members, func(m MemberStatus) bool { return m.Role == "leader" })
	if at < 0 || own.Members[at].Name == s.config.Name || own.Members[at].API == "" {
		return own
	}
	ctx, cancel := context.WithTimeout(ctx, leaderPatience)
	defer cancel()
	var answer MemberList
	leader := Leader{Name: own.Members[at].Name, API: own.Members[at].API}
	if err := s.ask(ctx, r, leader, "/v1/members", &answer); err != nil || answer.ConfigVersion < own.ConfigVersion {
		return own
	}
	return answer
}

func (s *Server) postMember(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "name", "version", "group")
	change := MemberChange{Action: r.PathValue("action"), Name: q.values.Get("name"), Version: q.version(), Group: q.values.Get("group")}
	var wrong error
	switch {
	case !slices.Contains([]string{"add", "remove", "promote", "demote"}, change.Action):
		wrong = badRequest("unknown change "+change.Action, "", "add, remove, promote or demote")
	case change.Name == "":
		wrong = badRequest("the member's name is missing", "", "?name=n4")
	}
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, wrong, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	if err := s.changeRegistry(ctx, r, change); err != nil {
		writeError(w, err)
		return
	}
	done, err := s.backend().ChangeMember(ctx, change)
	s.answer(ctx, w, r, done, err)
}

// registryGroup is the group of the masters' registry, of which every member is one too.
const registryGroup = "registry"

// changeRegistry changes a member of the registry before it is changed as one of the tree's
// group, so that a change which was done in part is repeated as a whole. One for another
// version than the tree's group has is left to be refused there.
func (s *Server) changeRegistry(ctx context.Context, r *http.Request, c MemberChange) error {
	if s.master.Load() == nil || c.Group != "" || r.Header.Get(headerForwarded) != "" {
		return nil
	}
	if c.Version != nil {
		list, err := s.backend().Members(ctx)
		switch {
		case err != nil:
			return err
		case list.ConfigVersion < *c.Version && !slices.ContainsFunc(list.Members, func(m MemberStatus) bool { return m.Role == "leader" && m.Name == s.config.Name }):
			return &Error{Code: CodeNoLeader, Message: "the change was not done: this node does not know that version of the members yet", Do: []string{"try again"}}
		case list.ConfigVersion != *c.Version:
			return nil
		}
	}
	c.Group, c.Version = registryGroup, nil
	_, err := s.backend().ChangeMember(ctx, c)
	e, is := errors.AsType[*Error](err)
	if is && e.Code == CodeNoLeader && e.Leader != nil && e.Leader.API != "" {
		query := url.Values{"name": {c.Name}, "group": {c.Group}}
		err = s.sendOn(ctx, r, *e.Leader, &url.URL{Path: "/v1/members/" + c.Action, RawQuery: query.Encode()})
		e, is = errors.AsType[*Error](err)
	}
	if is && e.Code == CodeNotFound {
		return nil // it has no place there, or has none any more
	}
	return err
}

// sendOn sends a request of its own to the leader, and returns what that refused.
func (s *Server) sendOn(ctx context.Context, r *http.Request, leader Leader, at *url.URL) error {
	request, err := s.forwardRequest(ctx, r, at, nil, leader)
	if err != nil {
		return err
	}
	response, err := s.forwards.Do(request)
	if err != nil {
		return forwardError(r, leader, err)
	}
	defer response.Body.Close()
	content, err := readAll(response.Body, maxStatus)
	if err != nil {
		return forwardError(r, leader, err)
	}
	if response.StatusCode == http.StatusOK {
		return nil
	}
	refused := &Error{}
	if err := json.Unmarshal(content, refused); err != nil || refused.Code == "" {
		return &Error{Code: CodeNoLeader, Message: "the leader does not answer", Why: response.Status}
	}
	return refused
}

func (s *Server) postTransfer(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "to", "group")
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	done, err := s.backend().Transfer(ctx, q.values.Get("group"), q.values.Get("to"))
	s.answer(ctx, w, r, done, err)
}

// postSnapshot takes a snapshot on this node, not on the leader.
func (s *Server) postSnapshot(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	done, err := s.backend().Snapshot(ctx)
	s.answer(ctx, w, r, done, err)
}

func (s *Server) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, v any, err error) {
	if err != nil {
		s.failOrForward(ctx, w, r, nil, err)
		return
	}
	s.writeAnswer(w, v)
}
