package coordination

import (
	"fmt"
	"strings"
)

// Get returns the node at path. Errors match [ErrInvalidPath] or [ErrNotFound].
func (t *Tree) Get(path string) (Node, error) {
	if n := t.nodes[path]; n != nil {
		return n.view(), nil
	}
	if err := CheckPath(path); err != nil {
		return Node{}, err
	}
	return Node{}, fmt.Errorf("%w: %s", ErrNotFound, path)
}

// Exists returns what is known of the node at path without its data. Errors are
// as for Get.
func (t *Tree) Exists(path string) (Stat, error) {
	n, err := t.Get(path)
	return n.Stat, err
}

// defaultPage is how long a page is by default.
const defaultPage = 1000

// Listing says which nodes below a node are wanted.
type Listing struct {
	// Path is the node whose children are listed.
	Path string
	// Recursive lists everything below it, each node before its children.
	Recursive bool
	// After is where to go on: the Path of the last node of the page before
	// (or of any node of it, to take less of it). It need not exist any more.
	// Empty begins at the start.
	After string
	// Limit is how many nodes a page has at most. Default 1000.
	Limit int
}

// Page is one page of a listing, sorted by path, component by component.
type Page struct {
	Nodes []Node
	// Next is the After of the following page, or empty if this is the last.
	Next string
}

// List returns one page of the nodes below a node. Pages read at different
// times may show the tree at different times, but never a node twice. Errors
// match [ErrInvalidPath] or [ErrNotFound].
func (t *Tree) List(l Listing) (Page, error) {
	if _, err := t.Get(l.Path); err != nil {
		return Page{}, err
	}
	after, err := l.resume()
	if err != nil {
		return Page{}, err
	}
	if l.Limit <= 0 {
		l.Limit = defaultPage
	}
	var page Page
	l.walk(t.nodes[l.Path], after, &page)
	return page, nil
}

// resume returns the components of After below Path.
func (l *Listing) resume() ([]string, error) {
	if l.After == "" {
		return nil, nil
	}
	if err := CheckPath(l.After); err != nil {
		return nil, err
	}
	if l.After == l.Path || !under(l.After, l.Path) {
		return nil, fmt.Errorf("%w: cannot go on after %q, which is not below %q", ErrInvalidPath, l.After, l.Path)
	}
	after := strings.Split(strings.TrimPrefix(l.After[len(l.Path):], "/"), "/")
	if !l.Recursive {
		after = after[:1]
	}
	return after, nil
}

// walk adds what is below n and behind after to the page. It returns false once
// there is more than fits.
func (l *Listing) walk(n *node, after []string, page *Page) bool {
	first := ""
	if len(after) > 0 {
		first = after[0]
	}
	return n.children.from(first, func(c *node) bool {
		var rest []string
		if len(after) > 0 && c.name < first {
			return true
		}
		if len(after) > 0 && c.name == first {
			rest = after[1:] // c itself stood on an earlier page
		} else if len(page.Nodes) == l.Limit {
			page.Next = page.Nodes[l.Limit-1].Path
			return false
		} else {
			page.Nodes = append(page.Nodes, c.view())
		}
		return !l.Recursive || l.walk(c, rest, page)
	})
}

// Permits reports whether the caller may do something with the node at path; so may
// anybody if there is none. An operation is checked by Apply itself.
func (t *Tree) Permits(path string, permission Permission, caller Caller) bool {
	n := t.nodes[path]
	return n == nil || n.list().permits(permission, &caller)
}

// Access returns the access list of a node, which nobody may change, and how often it
// was set. Errors are as for Get.
func (t *Tree) Access(path string) (ACL, int64, error) {
	stat, err := t.Exists(path)
	if err != nil {
		return nil, 0, err
	}
	return t.nodes[path].list(), stat.ACLVersion, nil
}
