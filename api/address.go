package api

import (
	"fmt"
	"net/url"
	"strings"
)

// uncleanPath is the error of a path with an empty part, . or .., nil if it has none.
// ServeMux would answer it with a redirect: a client that follows that writes another
// key than it named, and one that does not takes the write for done.
func uncleanPath(u *url.URL) error {
	escaped := u.EscapedPath()
	if !strings.Contains(escaped, "//") && !strings.Contains(escaped+"/", "/./") && !strings.Contains(escaped+"/", "/../") {
		return nil
	}
	if key, is := strings.CutPrefix(u.Path, "/v1/kv/"); is {
		if err := checkPath(key); err != nil {
			return err
		}
	}
	return badRequest(fmt.Sprintf("%.100q is not an address here", u.Path), "it has an empty part, . or ..", "keys are below /v1/kv/, see docs/api.md")
}
