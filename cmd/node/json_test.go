package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// documented are the fields of the documents that verbs write with --output json,
// by verb or part, from the table in docs/cli.md.
func documented(text string) map[string][]string {
	fields := map[string][]string{}
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 {
			continue
		}
		verbs, names := quoted(cells[1]), quoted(cells[2])
		for _, verb := range verbs {
			fields[verb] = names
		}
	}
	return fields
}

var quotedPart = regexp.MustCompile("`([^`]+)`")

func quoted(cell string) (parts []string) {
	for _, match := range quotedPart.FindAllStringSubmatch(cell, -1) {
		parts = append(parts, match[1])
	}
	return parts
}

// cmdJSON checks that standard output is one JSON document with the fields that
// docs/cli.md names for a verb, and no others: json kv put.
func cmdJSON(ts *testscript.TestScript, _ bool, args []string) {
	if n := checkDocuments(ts, args); n != 1 {
		ts.Fatalf("standard output is %d JSON documents, want one", n)
	}
}

// cmdJSONLines checks the same of verbs that write a document a line: jsonlines events.
func cmdJSONLines(ts *testscript.TestScript, _ bool, args []string) {
	if n := checkDocuments(ts, args); n == 0 || n != strings.Count(ts.ReadFile("stdout"), "\n") {
		ts.Fatalf("standard output is %d JSON documents, want one a line", n)
	}
}

// checkDocuments checks all JSON documents of standard output, and returns how many they are.
func checkDocuments(ts *testscript.TestScript, args []string) (n int) {
	manual, err := os.ReadFile("../../docs/cli.md")
	ts.Check(err)
	for d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout"))); ; n++ {
		var document any
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			ts.Fatalf("standard output is no JSON: %v", err)
		}
		checkJSON(ts, documented(string(manual)), strings.Join(args, " "), document)
	}
}

// checkJSON compares a part of a document with what is documented for it.
func checkJSON(ts *testscript.TestScript, fields map[string][]string, part string, value any) {
	names, known := fields[part]
	if !known {
		ts.Fatalf("docs/cli.md does not tell the fields of %q", part)
	}
	if list, is := value.([]any); is {
		if len(list) == 0 {
			ts.Fatalf("%s: an empty list shows nothing", part)
		}
		for _, element := range list {
			checkJSON(ts, fields, part, element)
		}
		return
	}
	object, is := value.(map[string]any)
	if !is {
		ts.Fatalf("%s is %v, want an object", part, value)
	}
	left := slices.Sorted(maps.Keys(object))
	for _, name := range names {
		bare, isPart := strings.CutSuffix(strings.TrimSuffix(name, "?"), "[]")
		element, there := object[bare]
		if !there && !strings.HasSuffix(name, "?") {
			ts.Fatalf("%s has no field %q: %v", part, bare, object)
		}
		if there && isPart {
			if _, own := fields[part+" "+name]; own { // two verbs may call different things the same
				name = part + " " + name
			}
			checkJSON(ts, fields, name, element)
		}
		left = slices.DeleteFunc(left, func(l string) bool { return l == bare })
	}
	if len(left) > 0 {
		ts.Fatalf("docs/cli.md does not tell of the fields %v of %q", left, part)
	}
}
