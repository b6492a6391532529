package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/cluster"
)

// retryPause is how long a client waits before it asks again: an election
// takes a few hundred milliseconds.
const retryPause = 50 * time.Millisecond

// attempts is what a client remembers while it retries one operation.
type attempts struct {
	call    call
	maybe   bool   // a write was sent and not answered: it may have happened
	doubt   string // why, the first time
	refused error  // the last answer that said "not now"
	lost    error  // the last failure to connect or to get an answer
	at      string // where that was
	rounds  int    // rounds in which no node could be connected to
}

// do carries out k at any node, and fills v with the answer.
func (c *Client) do(ctx context.Context, k call, v any) error {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.config.Timeout)
		defer cancel()
	}
	a := &attempts{call: k}
	for {
		reached, done, err := c.round(ctx, a, v)
		if done {
			return err
		}
		if !reached {
			a.rounds++
		}
		if a.rounds >= c.config.Rounds && !a.maybe && a.refused == nil {
			return c.unreachable(a)
		}
		select {
		case <-ctx.Done():
			return c.outOfTime(ctx, a)
		case <-time.After(retryPause * time.Duration(1+a.rounds)):
		}
	}
}

// round asks each address once. done: err is the operation's result.
func (c *Client) round(ctx context.Context, a *attempts, v any) (reached, done bool, err error) {
	queue := c.order()
	asked := map[string]bool{}
	var refused error // by TLS at one node: another one may have other certificates
	for len(queue) > 0 {
		addr := queue[0]
		queue = queue[1:]
		if asked[addr] {
			continue
		}
		asked[addr] = true
		err := c.attempt(ctx, addr, a, v)
		if !errors.Is(err, errNoAnswer) {
			reached = true
			if !c.again(a, err) && (CodeOf(err) != CodeNoState || len(queue) == 0) {
				c.remember(addr)
				return true, true, c.final(a, err)
			}
			if e, ok := errors.AsType[*Error](err); ok && e.Leader != nil && e.Leader.API != "" {
				queue = append([]string{e.Leader.API}, queue...)
			}
		} else if fatal := tlsError(addr, a.lost); fatal != nil && refused == nil {
			refused = fatal
		}
		if ctx.Err() != nil || a.maybe && a.call.single {
			return reached, true, c.outOfTime(ctx, a)
		}
	}
	if refused != nil && !reached && !a.maybe {
		return true, true, refused
	}
	return reached, false, nil
}

// attempt asks one node. errNoAnswer: there was none, a.lost says why.
func (c *Client) attempt(ctx context.Context, addr string, a *attempts, v any) error {
	ctx, cancel := c.attemptContext(ctx, a.call)
	defer cancel()
	response, err := c.once(ctx, addr, a.call)
	if err == nil {
		err = decode(response, a.call, v)
	}
	if _, is := errors.AsType[*Error](err); err == nil || is {
		return err
	}
	a.lost, a.at = err, addr
	if a.call.id != (RequestID{}) || a.call.method != http.MethodGet {
		// Who gets an alert was not let in: nobody has read what it sent.
		if _, alerted := errors.AsType[tls.AlertError](err); !a.maybe && !alerted && !neverSent(err) {
			a.maybe, a.doubt = true, Reason(err)+" at "+addr
		}
	}
	return errNoAnswer
}

// attemptContext leaves time for other nodes when one hangs: a third of the whole is for one, or two of what is not
// repeated once a node has it.
func (c *Client) attemptContext(ctx context.Context, k call) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || len(c.config.Addrs) == 1 {
		return ctx, func() {}
	}
	third := time.Until(deadline) / 3
	if k.single {
		third *= 2
	}
	return context.WithTimeout(ctx, max(third, 500*time.Millisecond))
}

// again reports whether the answer err allows another attempt. What may have happened is repeated
// only with a request id, or where a second time changes nothing more.
func (c *Client) again(a *attempts, err error) bool {
	code, safe := CodeOf(err), a.call.id != (RequestID{}) || a.call.same
	if err == nil {
		return false
	}
	if code == CodeUnknown && safe {
		if !a.maybe {
			a.maybe, a.doubt = true, whyOf(err)
		}
		return true
	}
	if code == CodeTimeout && a.call.method == http.MethodGet { // that node's time was a part of ours
		a.refused = err
		return true
	}
	if !code.Info().Retry || code == CodeTimeout {
		return false
	}
	a.refused = err
	return safe || !a.maybe
}

// final turns an answer into the operation's result: a refusal of this attempt after
// one that may have happened leaves the outcome unknown.
func (c *Client) final(a *attempts, err error) error {
	if err == nil || !a.maybe {
		return err
	}
	if code := CodeOf(err); code.Info().Retry || code == CodeDiskFull || code == CodeRequest {
		a.refused = err
		return c.unknown(a)
	}
	return err
}

func (c *Client) outOfTime(ctx context.Context, a *attempts) error {
	switch {
	case a.maybe:
		return c.unknown(a)
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{Code: CodeInterrupted, Message: a.call.what + " was given up"}
	case a.refused != nil:
		return a.refused
	case neverSent(a.lost) && !errors.Is(a.lost, errNotSent):
		return c.unreachable(a)
	}
	return &Error{Code: CodeTimeout, Message: a.call.what + " got no answer in time", Why: fmt.Sprintf("%s at %s", Reason(a.lost), a.at),
		Do: []string{"give it more time with --timeout, or another node with --addr"}}
}

// whyOf is the reason in an answer, which may stand in its message alone.
func whyOf(err error) string {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return Reason(err)
	case e.Leader != nil:
		return e.Message
	case e.Why != "":
		return e.Why
	}
	_, reason, _ := strings.Cut(e.Message, ": ")
	return cmp.Or(reason, e.Message)
}

// unknown says what left the outcome open, and what kept it so.
func (c *Client) unknown(a *attempts) error {
	why := a.doubt
	if a.refused != nil {
		why += "; after that: " + whyOf(a.refused)
	}
	do := "read it back, or repeat it safely with the same request id"
	if a.call.id == (RequestID{}) {
		do = "look whether it has happened before you repeat it"
	}
	return &Error{Code: CodeUnknown, Message: a.call.what + " may or may not have happened", Why: why, RequestID: a.call.id.String(), Do: []string{do}}
}

// triesEach says how often addresses were tried, if that was more than once.
func triesEach(rounds int) string {
	if rounds < 2 {
		return ""
	}
	return fmt.Sprintf(", %d tries each", rounds)
}

func (c *Client) unreachable(a *attempts) error {
	return &Error{Code: CodeReach, Message: "no node answers at " + strings.Join(c.config.Addrs, ", "),
		Why: a.at + ": " + Reason(a.lost) + triesEach(a.rounds),
		Do:  []string{"start a cluster here:  node dev", "or say where it is:  --addr HOST:PORT or NODE_ADDR"}}
}

// tlsError explains a failed handshake; asking again would not help.
func tlsError(addr string, err error) error {
	e := &Error{Code: CodeTLS, Do: []string{"check --tls-ca, --tls-cert and --tls-key"}}
	if _, is := errors.AsType[tls.RecordHeaderError](err); is || err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		e.Message, e.Why = "the node at "+addr+" speaks plain text", "TLS was spoken"
		e.Do = []string{"leave out --tls-ca, --tls-cert and --tls-key"}
		return e
	}
	if cause, is := errors.AsType[*tls.CertificateVerificationError](err); is {
		e.Message, e.Why = "the certificate of the node at "+addr+" is not accepted", trimX509(cause.Err)
		return e
	}
	if alert, is := errors.AsType[tls.AlertError](err); is {
		e.Message, e.Why = "the node at "+addr+" does not accept our certificate", trimSyscall(alert.Error())
		return e
	}
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is && invalid.Reason == x509.Expired && time.Now().After(invalid.Cert.NotAfter) {
		e.Message, e.Why = "the certificate of the node at "+addr+" has expired", "it was valid until "+invalid.Cert.NotAfter.Format(time.DateOnly)
		e.Do = []string{"where the authority is:  node tls renew"}
		if id, err := cluster.PeerIdentity(tls.ConnectionState{PeerCertificates: []*x509.Certificate{invalid.Cert}}); err == nil {
			e.Do = []string{"where the authority is:  node tls renew " + id.Name}
		}
		return e
	}
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		e.Message, e.Why = "the certificate of the node at "+addr+" is not accepted", trimX509(err)
		return e
	}
	if err == nil {
		return nil
	}
	// What package cluster finds has no type; asking again would find it again.
	if _, reason, is := strings.Cut(err.Error(), "cluster: the peer's certificate"); is {
		e.Message, e.Why = "the certificate of the node at "+addr+" is not accepted", "it"+strings.TrimPrefix(reason, ": x509: certificate")
		return e
	}
	return nil
}

func trimX509(err error) string {
	if _, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		return "it is not signed by the given authority"
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

// order returns the addresses, the one that answered last first.
func (c *Client) order() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good == "" || c.good == c.config.Addrs[0] {
		return slices.Clone(c.config.Addrs)
	}
	return append([]string{c.good}, c.config.Addrs...)
}

func (c *Client) remember(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good = addr
}
