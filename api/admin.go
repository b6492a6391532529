package api

import (
	"context"
	"errors"
	"net/http"
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

func (s *Server) getMembers(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r)
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	members, err := s.backend().Members(ctx)
	s.answer(ctx, w, r, members, err)
}

func (s *Server) postMember(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "name", "version")
	change := MemberChange{Action: r.PathValue("action"), Name: q.values.Get("name"), Version: q.version()}
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
	done, err := s.backend().ChangeMember(ctx, change)
	s.answer(ctx, w, r, done, err)
}

func (s *Server) postTransfer(w http.ResponseWriter, r *http.Request) {
	q := newQuery(r, "to")
	ctx, cancel, err := s.requestContext(r)
	if err = errors.Join(q.err, err); err != nil {
		writeError(w, err)
		return
	}
	defer cancel()
	done, err := s.backend().Transfer(ctx, q.values.Get("to"))
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

// getEvents streams what happens on this node from now on.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) {
	if q := newQuery(r); q.err != nil {
		writeError(w, q.err)
		return
	}
	release, err := s.takeWatch()
	if err != nil {
		writeError(w, err)
		return
	}
	defer release()
	ctx, cancel := s.untilShutdown(r.Context())
	defer cancel()
	if err := s.pumpEvents(ctx, newStream(w, r, s.config.SlowClient)); errors.Is(err, errSlow) {
		s.counters.slow.Add(1)
	}
}

// pumpEvents sends events until the client goes or the server stops.
func (s *Server) pumpEvents(ctx context.Context, out *stream) error {
	if err := out.send("start", 0, map[string]string{"node": s.config.Name}); err != nil {
		return err
	}
	events := make(chan Event)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.backend().Events(ctx, func(e Event) bool {
		select {
		case events <- e:
			return true
		case <-ctx.Done():
			return false
		}
	})
	beat := time.NewTicker(s.config.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case e := <-events:
			err = out.send(e.Kind, 0, e)
		case <-beat.C:
			err = out.heartbeat(0)
		case <-ctx.Done():
			return out.end(&Error{Code: CodeStopped, Message: "this node is stopping"})
		}
		if err != nil {
			return err
		}
	}
}
