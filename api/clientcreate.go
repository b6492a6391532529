package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Mode says how long a created key lives: coordination.Mode by name.
type Mode string

// The modes.
const (
	Persistent Mode = "persistent" // until it is deleted. Default
	Ephemeral  Mode = "ephemeral"  // as long as the session that created it
	Container  Mode = "container"  // until its last child is deleted
	TTL        Mode = "ttl"        // until it was not written for CreateOptions.TTL and has no children
)

// CreateOptions are the details of a Create.
type CreateOptions struct {
	Mode Mode
	TTL  time.Duration // for Mode TTL
	// Sequential appends ten digits to the path: how many children the parent has had. Written.Path
	// tells the whole.
	Sequential bool
	// NeedParent refuses to create parents that are missing.
	NeedParent bool
	// ACL is the key's access list; nil: anybody may do anything.
	ACL ACL
	// RequestID is as in WriteOptions.
	RequestID RequestID
}

// ACL is an access list: see coordination.Principal for the schemes.
type ACL []Grant

// Grant is one line of an access list.
type Grant struct {
	Scheme string `json:"scheme"`
	ID     string `json:"id"`
	// Permissions are letters: c create children, d delete children, r read, w write, a administer.
	Permissions string `json:"permissions"`
}

// Create makes a key that must not exist: else CodeExists.
func (c *Client) Create(ctx context.Context, path string, value []byte, o CreateOptions) (Written, error) {
	return c.create(ctx, path, value, o, "")
}

func (c *Client) create(ctx context.Context, path string, value []byte, o CreateOptions, session string) (Written, error) {
	named := strings.TrimPrefix(path, "/")
	if o.Sequential {
		named += "0000000000" // the cluster makes the number
	}
	if err := checkPath(named); err != nil {
		return Written{}, err
	}
	values, err := o.values()
	if err != nil {
		return Written{}, err
	}
	var done Written
	err = c.do(ctx, call{method: http.MethodPost, path: kvPath(path), query: values, body: value, id: o.RequestID.orNew(), session: session,
		what: fmt.Sprintf("the creation of %q", path)}, &done)
	return done, err
}

func (o CreateOptions) values() (url.Values, error) {
	values := url.Values{}
	if o.Mode != "" {
		values.Set("mode", string(o.Mode))
	}
	if o.TTL != 0 {
		values.Set("ttl", o.TTL.String())
	}
	if o.Sequential {
		values.Set("sequential", "true")
	}
	if o.NeedParent {
		values.Set("need_parent", "true")
	}
	if o.ACL != nil {
		text, err := json.Marshal(o.ACL)
		if err != nil {
			return nil, fmt.Errorf("api: encode an access list: %w", err)
		}
		values.Set("acl", string(text))
	}
	return values, nil
}

// TxnOperation is one operation of a transaction.
type TxnOperation struct {
	Op    string // "create", "put", "delete" or "check"
	Path  string
	Value []byte
	// Version is as in WriteOptions. Created, unless 0, is the log index at which the key must have
	// been created: a fencing token, if the key is a lock's.
	Version *uint64
	Created uint64
	// Recursive is for "delete"; the others for "create".
	Recursive  bool
	Mode       Mode
	TTL        time.Duration
	Sequential bool
	NeedParent bool
	ACL        ACL
}

// Committed is the answer to a transaction.
type Committed struct {
	Index   uint64    `json:"index"`
	Results []Written `json:"results"`
}

// Commit carries out operations one after the other at one log index, all or none. The error of a
// refused one has that operation's code, its place in Failed and why. id is as in WriteOptions.
func (c *Client) Commit(ctx context.Context, operations []TxnOperation, id RequestID) (Committed, error) {
	return c.commit(ctx, operations, id, "")
}

func (c *Client) commit(ctx context.Context, operations []TxnOperation, id RequestID, session string) (Committed, error) {
	var t txnJSON
	for _, o := range operations {
		t.Operations = append(t.Operations, o.wire())
	}
	if _, err := t.operation(); err != nil { // as the node would say
		return Committed{}, err
	}
	body, err := json.Marshal(t)
	if err != nil {
		return Committed{}, fmt.Errorf("api: encode a transaction: %w", err)
	}
	var done Committed
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/txn", body: body, id: id.orNew(), session: session, what: "the transaction"}, &done)
	return done, err
}

func (o TxnOperation) wire() txnOperationJSON {
	j := txnOperationJSON{Op: o.Op, Path: strings.TrimPrefix(o.Path, "/"), Version: o.Version, Created: o.Created, Recursive: o.Recursive,
		Mode: o.Mode, Sequential: o.Sequential, NeedParent: o.NeedParent, ACL: o.ACL}
	if len(o.Value) > 0 {
		j.valueJSON = newValueJSON(o.Value)
	}
	if o.TTL != 0 {
		j.TTL = o.TTL.String()
	}
	return j
}
