package api

import (
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/synod-go/synod/cluster"
)

// tokenCheck is how often a request or a connection that lasts is asked whether the token that it has shown still holds. What
// has shown a certificate is looked after by [cluster.NewListener].
const tokenCheck = time.Second

// tokenEnded is why what lasts ends when its token does.
var tokenEnded = &Error{Code: CodeAccess, Message: "the token of this connection holds no more", Why: "its line in the file of --tokens was removed or changed",
	Do: []string{"node token new NAME --role ROLE, then NODE_TOKEN"}}

// heldToken calls ended once its token is not what it was.
type heldToken struct {
	tokens *Tokens
	sum    tokenSum
	was    cluster.Identity
	ended  func()

	mu    sync.Mutex
	list  *tokenList // in which it was found last
	timer *time.Timer
	over  bool
}

// whileHeld has ended called about a second after the token that a request has shown was removed, or is another's. stop
// ends that. A request without a token lasts.
func (g *gate) whileHeld(r *http.Request, ended func()) (stop func()) {
	token := tokenOf(r)
	if token == "" || g.tokens == nil {
		return func() {}
	}
	h := &heldToken{tokens: g.tokens, sum: sha256.Sum256([]byte(token)), ended: ended}
	now := g.tokens.now()
	if was, ok := now.find(h.sum); ok { // else it ended since the request was let in, which the first check finds out
		h.was, h.list = was, now
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = time.AfterFunc(tokenCheck, h.check)
	return h.stop
}

func (h *heldToken) check() {
	if h.holds(h.tokens.now()) {
		return
	}
	h.ended()
}

// holds looks again later if the token is there as it was.
func (h *heldToken) holds(now *tokenList) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return true
	}
	if now != h.list {
		is, ok := now.find(h.sum)
		h.list, h.over = now, !ok || is != h.was
	}
	if !h.over {
		h.timer.Reset(tokenCheck)
	}
	return !h.over
}

func (h *heldToken) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	h.timer.Stop()
}

// serve has handle answer a request, whose context ends with its token.
func (g *gate) serve(w http.ResponseWriter, r *http.Request, handle http.HandlerFunc) {
	if g.tokens == nil || tokenOf(r) == "" {
		handle(w, r)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer g.whileHeld(r, func() { cancel(tokenEnded) })()
	handle(w, r.WithContext(ctx))
}

// endOf is what a stream tells last whose context has ended.
func endOf(ctx context.Context) *Error {
	if context.Cause(ctx) == tokenEnded {
		return tokenEnded
	}
	return nodeStops
}
