package coordination

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of a path. They are part of the format, not of [Config].
const (
	// MaxPathBytes is the length of the longest path.
	MaxPathBytes = 4096
	// MaxNameBytes is the length of the longest component of a path.
	MaxNameBytes = 1024
	// MaxDepth is how many components a path may have.
	MaxDepth = 128
)

// Root is the path of the node that always exists.
const Root = "/"

// CheckPath tells what is wrong with a path; the error matches [ErrInvalidPath].
//
// A path is Root, or one or more components each of which follows a slash. A
// component is UTF-8, is neither empty nor "." nor "..", and has none of the
// characters that ZooKeeper refuses: control characters (U+0000–1F, U+007F–9F),
// private use (U+E000–F8FF) and specials (U+FFF0–FFFF).
func CheckPath(path string) error {
	switch {
	case path == Root:
		return nil
	case len(path) > MaxPathBytes:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalidPath, len(path), MaxPathBytes)
	case path == "" || path[0] != '/':
		return fmt.Errorf("%w: %q does not begin with a slash", ErrInvalidPath, path)
	case strings.Count(path, "/") > MaxDepth:
		return fmt.Errorf("%w: %d components, at most %d are allowed", ErrInvalidPath, strings.Count(path, "/"), MaxDepth)
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		if reason := checkName(name); reason != "" {
			return fmt.Errorf("%w: %q: %s", ErrInvalidPath, path, reason)
		}
	}
	return nil
}

// checkName returns "" or what is wrong with a component.
func checkName(name string) string {
	switch {
	case name == "":
		return "empty component (two slashes, or one at the end)"
	case name == "." || name == "..":
		return "component " + name
	case len(name) > MaxNameBytes:
		return fmt.Sprintf("component of %d bytes, at most %d are allowed", len(name), MaxNameBytes)
	}
	if !utf8.ValidString(name) {
		return "not UTF-8"
	}
	for _, c := range name {
		if c < ' ' || c >= 0x7f && c <= 0x9f || c >= 0xe000 && c <= 0xf8ff || c >= 0xfff0 && c <= 0xffff {
			return fmt.Sprintf("character %U", c)
		}
	}
	return ""
}

// split cuts a path other than Root into its parent and its last component.
func split(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 1)], path[i+1:]
}

// under reports whether path is top or below it.
func under(path, top string) bool {
	return top == Root || strings.HasPrefix(path, top) && (len(path) == len(top) || path[len(top)] == '/')
}
