package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strings"
	"text/template"

	"github.com/synod-go/synod/api"
)

// maxRendered bounds what a template may write, and what is below the watched key: 64 MiB.
const maxRendered = 64 << 20

// keys are the keys at and below a watched one, by their path from there, in order.
type keys struct{ list []key }

// key is one of them, as a template sees it.
type key struct {
	Path    string // from the watched key on; "" is that itself
	Name    string // the last part of the path
	Value   string
	Version uint64
	Created uint64 // the log index of its creation
	Rank    int    // among those of ranked, from 0
}

// newKeys takes over entries of the keys at and below root.
func newKeys(root string, entries []api.Entry) *keys {
	k := &keys{}
	for _, e := range entries {
		path := strings.Trim(strings.TrimPrefix(e.Path, root), "/")
		k.list = append(k.list, key{Path: path, Name: path[strings.LastIndexByte(path, '/')+1:], Value: string(e.Value),
			Version: e.Version, Created: e.Created})
	}
	slices.SortFunc(k.list, func(a, b key) int { return strings.Compare(a.Path, b.Path) })
	return k
}

func (k *keys) find(path string) (key, bool) {
	path = strings.Trim(path, "/")
	i := sort.Search(len(k.list), func(i int) bool { return k.list[i].Path >= path })
	if i < len(k.list) && k.list[i].Path == path {
		return k.list[i], true
	}
	return key{}, false
}

// get is the value of a key that must be there.
func (k *keys) get(path string) (string, error) {
	if found, is := k.find(path); is {
		return found.Value, nil
	}
	return "", fmt.Errorf("there is no key %q", path)
}

// getOr is the value of a key, or another one if there is none.
func (k *keys) getOr(path, other string) string {
	if found, is := k.find(path); is {
		return found.Value
	}
	return other
}

func (k *keys) exists(path string) bool {
	_, is := k.find(path)
	return is
}

// below are all keys below path, those directly below alone unless deep.
func (k *keys) below(path string, deep bool) []key {
	path = strings.Trim(path, "/")
	var found []key
	for _, e := range k.list {
		rest, is := e.Path, e.Path != ""
		if path != "" {
			rest, is = strings.CutPrefix(e.Path, path+"/")
		}
		if is && (deep || !strings.Contains(rest, "/")) {
			found = append(found, e)
		}
	}
	return found
}

// ranked are the keys directly below path in the order of their creation, numbered from 0. Those that were made
// at once, by one transaction, are in the order of their paths.
func (k *keys) ranked(path string) []key {
	list := k.below(path, false)
	slices.SortStableFunc(list, func(a, b key) int { return cmp.Compare(a.Created, b.Created) })
	for i := range list {
		list[i].Rank = i
	}
	return list
}

// parseJSON is a value as a template can look into it.
func parseJSON(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("no JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("no JSON: something follows the document")
	}
	return v, nil
}

func toJSON(v any) (string, error) {
	data, err := json.Marshal(v)
	return string(data), err
}

// functions are what a template has beside those of text/template.
func (k *keys) functions() template.FuncMap {
	return template.FuncMap{
		"get": k.get, "getOr": k.getOr, "exists": k.exists,
		"list":   func(path string) []key { return k.below(path, false) },
		"tree":   func(path string) []key { return k.below(path, true) },
		"ranked": k.ranked, "env": os.Getenv,
		"json": parseJSON, "toJSON": toJSON,
		"split": strings.Split, "join": strings.Join, "trim": strings.TrimSpace,
		"upper": strings.ToUpper, "lower": strings.ToLower, "replace": strings.ReplaceAll,
		"hasPrefix": strings.HasPrefix, "hasSuffix": strings.HasSuffix, "contains": strings.Contains,
	}
}

// errTooLong says that a template writes without end, or nearly.
var errTooLong = errors.New("it writes more than 64 MiB")

type boundedBuffer struct{ bytes.Buffer }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxRendered {
		return 0, errTooLong
	}
	return b.Buffer.Write(p)
}

// render carries out a template.
func render(name, text string, k *keys) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(k.functions()).Parse(text)
	if err != nil {
		return nil, err
	}
	var out boundedBuffer
	if err := t.Execute(&out, k.list); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
