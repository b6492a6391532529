package api

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"

	"github.com/synod-go/synod/cluster"
)

// route is one address with what each method does there, and the role that it takes. An address whose methods take
// different roles has several routes.
type route struct {
	// pattern is that of http.ServeMux, without a method.
	pattern string
	// need is the role of its caller, wherever callers have to say who they are: see [cluster.Role.May].
	need    cluster.Role
	methods map[string]http.HandlerFunc
}

// anyone is the need of what everybody may have who can connect.
const anyone cluster.Role = "anyone"

// gate decides who may have what, by certificates and tokens.
type gate struct {
	tls    bool
	tokens *Tokens
	who    func(tls.ConnectionState) (cluster.Identity, bool)
}

func newGate(config *tls.Config, tokens *Tokens, who func(tls.ConnectionState) (cluster.Identity, bool)) gate {
	if who == nil {
		who = func(state tls.ConnectionState) (cluster.Identity, bool) {
			id, err := cluster.PeerIdentity(state)
			return id, err == nil
		}
	}
	return gate{tls: config != nil, tokens: tokens, who: who}
}

// open reports whether nobody has to say who it is: on a machine of one's own.
func (g *gate) open() bool { return !g.tls && g.tokens == nil }

// sender is who sends a request, with no role if it has not shown that. Who shows a token is who the token says.
func (g *gate) sender(r *http.Request) cluster.Identity {
	if token := tokenOf(r); token != "" && g.tokens != nil {
		id, _ := g.tokens.find(token)
		return id
	}
	return g.certified(r)
}

// certified is who the certificate of the connection names.
func (g *gate) certified(r *http.Request) cluster.Identity {
	if !g.tls || r.TLS == nil {
		return cluster.Identity{}
	}
	id, ok := g.who(*r.TLS)
	if !ok {
		return cluster.Identity{}
	}
	return id
}

// allows reports whether the sender of a request may have what takes the role need.
func (g *gate) allows(r *http.Request, need cluster.Role) bool {
	return need == anyone || g.open() || g.sender(r).Role.May(need)
}

// known is for ServerLimits: whether a request shows who sends it. nil: nobody has to say so.
func (g *gate) known() func(*http.Request) bool {
	if g.open() {
		return nil
	}
	return func(r *http.Request) bool { return g.sender(r).Role != "" }
}

// refuse is the error for who may not have what takes the role need; the answer's header says how to show it.
func (g *gate) refuse(answer http.Header, r *http.Request, need cluster.Role) *Error {
	from := g.sender(r)
	if from.Role != "" {
		e := &Error{Code: CodeRole, Message: fmt.Sprintf("%s of %s takes the role %s", r.Method, r.URL.Path, need),
			Why: fmt.Sprintf("%s has the role %s", from.Name, from.Role)}
		if need != cluster.RoleAgent {
			e.Do = []string{fmt.Sprintf("node tls issue NAME --role %s, or node token new NAME --role %[1]s", need)}
		}
		return e
	}
	e := &Error{Code: CodeAccess, Message: "this request needs a client certificate or a token of the cluster", Why: "it came with none",
		Do: []string{fmt.Sprintf("node tls issue NAME --role %s, then --tls-cert, --tls-key and --tls-ca", need)}}
	if g.tokens != nil {
		if tokenOf(r) != "" {
			e.Why = "the node does not know this token"
		}
		e.Do = append(e.Do, fmt.Sprintf("or: node token new NAME --role %s, then NODE_TOKEN", need))
		answer.Add("WWW-Authenticate", `Bearer realm="synod"`)
		answer.Add("WWW-Authenticate", `Basic realm="synod: any name, and a token as the password"`) // a browser asks for it
	}
	return e
}

// tokenOf is the token that a request shows: as a bearer, or, as browsers can, in the place of a password.
func tokenOf(r *http.Request) string {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if _, password, is := r.BasicAuth(); is && strings.HasPrefix(password, tokenPrefix) {
		return password
	}
	return ""
}

// passToken gives a request that is sent on the token of the one that came, if nothing else tells the next server
// who it was: with TLS it believes a node's certificate.
func (g *gate) passToken(to http.Header, r *http.Request) {
	to.Del("Authorization")
	if token := g.passed(r); token != "" {
		to.Set("Authorization", "Bearer "+token)
	}
}

// passed is the token that is shown to other nodes on behalf of the sender of a request, "" if none is.
func (g *gate) passed(r *http.Request) string {
	if g.tls || g.tokens == nil {
		return ""
	}
	return tokenOf(r)
}
