package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// tasksReport is what -json writes.
type tasksReport struct {
	Machine machine   `json:"machine"`
	Begun   time.Time `json:"begun"`
	Figures []*figure `json:"figures"`
	Void    []string  `json:"void"`
}

// A figure is one thing that was measured several times.
type figure struct {
	Name   string    `json:"name"`
	Form   string    `json:"form"` // of fmt
	Goal   *goal     `json:"goal,omitempty"`
	Values []float64 `json:"values"`
}

// A goal bounds a figure: its median, or every value.
type goal struct {
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least,omitempty"`
	Every   bool    `json:"every,omitempty"`
}

func atLeast(limit float64) *goal { return &goal{Limit: limit, AtLeast: true} }
func atMost(limit float64) *goal  { return &goal{Limit: limit} }

// always is the goal for every value, as of a 99th percentile of few.
func always(g *goal) *goal { return &goal{Limit: g.Limit, AtLeast: g.AtLeast, Every: true} }

// met reports whether values reach the goal.
func (g *goal) met(values []float64) bool {
	if len(values) == 0 {
		return false
	}
	judged := median(values)
	switch {
	case g.Every && g.AtLeast:
		judged = slices.Min(values)
	case g.Every:
		judged = slices.Max(values)
	}
	if g.AtLeast {
		return judged >= g.Limit
	}
	return judged <= g.Limit
}

// add notes a value of the figure of that name, which is made if there is none.
func (r *tasksReport) add(name, form string, g *goal, value float64) {
	i := slices.IndexFunc(r.Figures, func(f *figure) bool { return f.Name == name })
	if i < 0 {
		i = len(r.Figures)
		r.Figures = append(r.Figures, &figure{Name: name, Form: form, Goal: g})
	}
	r.Figures[i].Values = append(r.Figures[i].Values, value)
}

func (f *figure) cells() []string {
	wanted, verdict := "", ""
	if f.Goal != nil {
		wanted, verdict = "at most ", "missed"
		if f.Goal.AtLeast {
			wanted = "at least "
		}
		wanted += fmt.Sprintf(f.Form, f.Goal.Limit)
		if f.Goal.Every {
			wanted += ", all"
		}
		if f.Goal.met(f.Values) {
			verdict = "met"
		}
	}
	form := func(v float64) string { return fmt.Sprintf(f.Form, v) }
	return []string{f.Name, wanted, form(median(f.Values)), form(slices.Min(f.Values)), form(slices.Max(f.Values)), fmt.Sprint(len(f.Values)), verdict}
}

func (r *tasksReport) write(out io.Writer) {
	t := coordTable{title: "Tasks", columns: []string{"figure", "goal", "median", "least", "most", "times", ""}}
	for _, f := range r.Figures {
		t.rows = append(t.rows, f.cells())
	}
	t.write(out)
	title := "\n### Void\n\n"
	for _, one := range r.Void {
		fmt.Fprintf(out, "%s- %s\n", title, one)
		title = ""
	}
}
