package api

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/coordination"
)

// caller is who sends a request: with the session whose token it carries, if any, and
// everything that it has shown to be.
func (s *Server) caller(r *http.Request) (coordination.Caller, error) {
	c, err := callerOfToken(r.Header.Get(headerSession))
	if err != nil {
		return c, err
	}
	c.Principals, err = s.principals(r)
	return c, err
}

// inSession is caller for what only a session can do.
func (s *Server) inSession(r *http.Request) (coordination.Caller, error) {
	c, err := s.caller(r)
	if err == nil && c.Session == 0 {
		return c, badRequest("the request needs a session", "", headerSession+": TOKEN, as POST /v1/sessions returns it")
	}
	return c, err
}

// password is what only the client of a session knows: the tree has its key.
type password [16]byte

func newPassword() (p password) {
	rand.Read(p[:]) // never fails
	return p
}

func (p password) key() (key coordination.SessionKey) {
	sum := sha256.Sum256(p[:])
	copy(key[:], sum[:])
	return key
}

// sessionToken is what names a session and proves that it is the caller's.
func sessionToken(session uint64, p password) string {
	return strconv.FormatUint(session, 16) + "-" + hex.EncodeToString(p[:])
}

// callerOfToken reads a token; an empty one is nobody's.
func callerOfToken(text string) (c coordination.Caller, err error) {
	if text == "" {
		return c, nil
	}
	number, secret, _ := strings.Cut(text, "-")
	var p password
	id, err := strconv.ParseUint(number, 16, 64)
	if len(secret) != hex.EncodedLen(len(p)) || err != nil || id == 0 {
		return c, badToken()
	}
	if _, err := hex.Decode(p[:], []byte(secret)); err != nil {
		return c, badToken()
	}
	return coordination.Caller{Session: id, Key: p.key()}, nil
}

// badToken does not repeat the token: errors end up in logs.
func badToken() error {
	return badRequest("the token in "+headerSession+" cannot be read", "it looks like 1f-6b0f43a8c1d2e3f40516273849506172",
		"send what POST /v1/sessions has returned")
}

// maxPrincipals bounds how many a forwarded request may bring.
const maxPrincipals = 8

// principals are who the caller has shown to be. A request that a node sends on brings
// those that it has found out itself.
func (s *Server) principals(r *http.Request) ([]coordination.Principal, error) {
	if brought := r.Header[headerPrincipal]; len(brought) > 0 && s.fromNode(r) {
		return decodePrincipals(brought)
	}
	var list []coordination.Principal
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && !s.viaUnproven(r) {
		list = append(list, coordination.Principal{Scheme: "ip", ID: host})
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		list = append(list, coordination.Principal{Scheme: "x509", ID: r.TLS.PeerCertificates[0].Subject.CommonName})
	}
	if token := tokenOf(r); token != "" && s.gate.tokens != nil {
		if id, ok := s.gate.tokens.find(token); ok {
			list = append(list, coordination.Principal{Scheme: "sasl", ID: id.Name}) // what no other scheme has shown, as ZooKeeper calls it
		}
		return list, nil
	}
	if user, pass, is := r.BasicAuth(); is {
		id := DigestID(user, pass)
		list = append(list, coordination.Principal{Scheme: "digest", ID: id})
		if s.config.Super != "" && id == s.config.Super {
			list = append(list, coordination.Principal{Scheme: "super"})
		}
	}
	return list, nil
}

// fromNode reports whether another node of the cluster sends the request on. Without TLS
// nobody can tell, as nobody can tell anything else then; with tokens none is believed.
func (s *Server) fromNode(r *http.Request) bool {
	if r.Header.Get(headerForwarded) == "" {
		return false
	}
	return s.gate.open() || s.gate.certified(r).Role == cluster.RoleNode
}

// viaUnproven reports whether a request says that a node has sent it on, where nodes have nothing to prove that with:
// with tokens and no TLS. Where its sender is nobody knows then, and it is not where the node is.
func (s *Server) viaUnproven(r *http.Request) bool {
	return s.gate.tokens != nil && !s.gate.tls && r.Header.Get(headerForwarded) != ""
}

// DigestID is the id of a user in scheme "digest": USER:base64(SHA-1(USER:PASSWORD)), as
// ZooKeeper has it.
func DigestID(user, password string) string {
	sum := sha1.Sum([]byte(user + ":" + password))
	return user + ":" + base64.StdEncoding.EncodeToString(sum[:])
}

func encodePrincipals(list []coordination.Principal) (lines []string) {
	for _, p := range list {
		lines = append(lines, p.Scheme+" "+url.QueryEscape(p.ID))
	}
	return lines
}

func decodePrincipals(lines []string) (list []coordination.Principal, err error) {
	if len(lines) > maxPrincipals {
		return nil, badRequest(fmt.Sprintf("%d headers %s are too many", len(lines), headerPrincipal), "")
	}
	for _, line := range lines {
		scheme, escaped, _ := strings.Cut(line, " ")
		id, err := url.QueryUnescape(escaped)
		if err != nil || scheme == "" {
			return nil, badRequest("a header "+headerPrincipal+" cannot be read", "it is a scheme, a space and an escaped id")
		}
		list = append(list, coordination.Principal{Scheme: scheme, ID: id})
	}
	return list, nil
}

// permissionLetters are the letters of permissions in the order of their bits.
const permissionLetters = "rwcda"

func parsePermissions(letters string) (p coordination.Permission, err error) {
	for _, letter := range letters {
		i := strings.IndexRune(permissionLetters, letter)
		if i < 0 || p&(1<<i) != 0 {
			return 0, badRequest(fmt.Sprintf("permissions %.20q cannot be read", letters), "they are letters of cdrwa, each once at most")
		}
		p |= 1 << i
	}
	return p, nil
}

func permissionsOf(p coordination.Permission) (letters string) {
	for _, letter := range "cdrwa" { // the order in which ZooKeeper's shell shows them
		if p&(1<<strings.IndexRune(permissionLetters, letter)) != 0 {
			letters += string(letter)
		}
	}
	return letters
}

func (a ACL) grants() (list coordination.ACL, err error) {
	for _, g := range a {
		p, err := parsePermissions(g.Permissions)
		if err != nil {
			return nil, err
		}
		list = append(list, coordination.Grant{Permissions: p, Principal: coordination.Principal{Scheme: g.Scheme, ID: g.ID}})
	}
	return list, nil
}

func aclOf(list coordination.ACL) ACL {
	acl := make(ACL, 0, len(list))
	for _, g := range list {
		acl = append(acl, Grant{Scheme: g.Principal.Scheme, ID: g.Principal.ID, Permissions: permissionsOf(g.Permissions)})
	}
	return acl
}
