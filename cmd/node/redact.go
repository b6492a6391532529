package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// blotted stands where something secret was.
const blotted = "***"

// secretFields are fields of documents that may hold what nobody else should see: all of a job's
// text, what its tasks run and in which environment, values of keys, and whatever proves who somebody is.
var secretFields = []string{"spec", "env", "environment", "command", "shell", "exec", "arg", "args", "arguments", "value", "value_base64",
	"token", "password", "secret", "secrets", "credentials", "authorization", "user", "data", "labels"}

// secretTexts are recognised wherever they stand: keys in PEM, what proves a client, and tokens of sessions. A client's
// token has 43 characters behind its prefix, and no metric as many.
var secretTexts = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)|(?i:bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}|\bsynod_[\w-]{40,}|\b[0-9a-f]+-[0-9a-f]{32}\b|(?i:password|token|secret)["']?\s*[=:]\s*[^\s,;}]+`)

// redactText blots out of a text what is recognised as secret.
func redactText(text []byte) []byte { return secretTexts.ReplaceAll(text, []byte(blotted)) }

// redactJSON reads JSON documents, one after the other, and writes them again without what is secret, one a
// line. One that has no end, or is none, is left out, since nobody knows what is in it.
func redactJSON(body []byte) []byte {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	for {
		var document any
		if err := decoder.Decode(&document); err != nil {
			return out.Bytes()
		}
		_ = encoder.Encode(blotOut(document)) // what was decoded encodes, and a buffer takes all
	}
}

func blotOut(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			if v[name] = blotOut(field); slices.Contains(secretFields, strings.ToLower(name)) && !isFinding(v) && !isHappening(v) {
				v[name] = blotted
			}
		}
	case []any:
		for i := range v {
			v[i] = blotOut(v[i])
		}
	case string:
		return string(redactText([]byte(v)))
	}
	return v
}

// isFinding reports whether an object is one of doctor's, whose value tells what was seen.
func isFinding(v map[string]any) bool {
	_, why := v["why"]
	_, state := v["state"]
	return why && state && v["name"] != nil
}

// isHappening reports whether an object is a line of a stream of events, whose data tells what has happened.
func isHappening(v map[string]any) bool {
	_, event := v["event"].(string)
	_, data := v["data"].(map[string]any)
	return event && data && len(v) == 2
}
