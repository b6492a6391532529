package jobfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/synod-go/synod/jobs"
)

// Bounds of a file.
const (
	MaxBytes    = 1 << 20
	MaxJobs     = 1000
	maxProblems = 100
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	Line, Column int
	Text         string // what is wrong
	Hint         string // what to write instead, may be empty
}

func (p Problem) String() string {
	text := fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Text)
	if p.Hint != "" {
		text += " (" + p.Hint + ")"
	}
	return text
}

// Error has all that is wrong with a file, by line; of very much the first.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	text := "jobfile: " + e.Problems[0].String()
	if n := len(e.Problems) - 1; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	return text
}

// Parse reads the jobs of a file of at most MaxBytes. Its error is an *Error. The jobs have
// their defaults. Whether a schedule makes sense is not looked at.
func Parse(data []byte) ([]jobs.Spec, error) {
	p := &parser{}
	specs := p.file(data)
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(x, y Problem) int { return (x.Line-y.Line)*10_000 + min(x.Column, 9999) - min(y.Column, 9999) })
		return nil, &Error{p.problems}
	}
	return specs, nil
}

type parser struct{ problems []Problem }

func (p *parser) problem(line, column int, hint, format string, args ...any) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, Problem{max(1, line), max(1, column), fmt.Sprintf(format, args...), hint})
	}
}

func (p *parser) at(n *yaml.Node, hint, format string, args ...any) {
	p.problem(n.Line, n.Column, hint, format, args...)
}

func (p *parser) file(data []byte) (specs []jobs.Spec) {
	if len(data) > MaxBytes {
		p.problem(1, 1, "split it", "the file has %d bytes, at most %d may be", len(data), MaxBytes)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	names := map[string]bool{}
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		switch {
		case errors.Is(err, io.EOF):
			if len(specs) == 0 && len(p.problems) == 0 {
				p.problem(1, 1, "begin with  name: web", "there is no job in the file")
			}
			return specs
		case err != nil:
			p.syntax(err)
			return nil
		case len(specs) >= MaxJobs:
			p.at(&document, "split it", "there are more than %d jobs", MaxJobs)
			return nil
		case len(document.Content) == 0 || document.Content[0].Tag == "!!null":
			continue // nothing but comments
		}
		s := p.job(document.Content[0])
		if names[s.Name] && s.Name != "" {
			p.at(document.Content[0], "", "there are two jobs with the name %s", s.Name)
		}
		names[s.Name] = true
		specs = append(specs, s)
	}
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): `)

// syntax tells what the YAML reader has against a file, at the line that it names.
func (p *parser) syntax(err error) {
	text, line := err.Error(), 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	p.problem(line, 1, "", "this is no YAML: %.200s", strings.TrimPrefix(text, "yaml: "))
}

// nearest is the known key that one has most likely meant, "" if none is near.
func nearest(key string, known []string) string {
	best, least := "", 3
	if len(key) > 40 {
		return ""
	}
	for _, k := range known {
		d := distance(key, k)
		if strings.EqualFold(key, k) || len(key) > 2 && (strings.HasPrefix(k, key) || strings.HasPrefix(key, k)) {
			d = 0
		}
		if d < least && d < max(len(k), 2) {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters are to be put in, left out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for k := range len(b) {
			cost := before
			if a[i] != b[k] {
				cost = 1 + min(before, row[k], row[k+1])
			}
			before, row[k+1] = row[k+1], cost
		}
	}
	return row[len(b)]
}
