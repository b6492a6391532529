package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// A row is one engine in one cell: the median over its rounds, each figure on its
// own.
type row struct {
	cell
	engine     string // the reported name: that of the variants' common kind
	variant    string // the better of them; empty when there are none
	rounds     int    // that were not void
	void       int
	perSecond  float64
	p50Micros  float64
	p99Micros  float64
	p999Micros float64
	cpuMicros  float64
	replicaMiB float64
	otherCores float64
	ofBare     float64 // perSecond over that of the ceiling; 0: not measured
	ofBestPeer float64 // perSecond over that of the best peer of its class; 0: none
	// Medians of what each round's run has over that of kind.beside in the same
	// round; 0: none.
	ofTwin    float64 // operations a second
	cpuOfTwin float64 // CPU for each operation
	class     string
	ours      bool
}

// summarize makes the rows of a report, in the order in which cells and engines
// first appear.
func summarize(runs []run) []row {
	var rows []row
	for _, name := range engineOrder(runs) {
		k, err := findKind(name)
		if err != nil {
			continue
		}
		for _, c := range cellOrder(runs) {
			if r := newRow(k, c, runs); r.rounds+r.void > 0 {
				rows = append(rows, r)
			}
		}
	}
	rows = mergeVariants(rows)
	cells := cellOrder(runs)
	slices.SortStableFunc(rows, func(a, b row) int { return slices.Index(cells, a.cell) - slices.Index(cells, b.cell) })
	for i := range rows {
		rows[i].compare(rows)
	}
	return rows
}

// engineOrder is that of kinds, for those that ran.
func engineOrder(runs []run) []string {
	var names []string
	for _, k := range kinds {
		if slices.ContainsFunc(runs, func(r run) bool { return r.Engine == k.name }) {
			names = append(names, k.name)
		}
	}
	return names
}

func cellOrder(runs []run) []cell {
	var cells []cell
	for _, r := range runs {
		if !slices.Contains(cells, r.cell) {
			cells = append(cells, r.cell)
		}
	}
	return cells
}

func newRow(k kind, c cell, runs []run) row {
	r := row{cell: c, engine: k.name, class: k.class, ours: k.ours}
	var good []run
	for _, one := range runs {
		switch {
		case one.Engine != k.name || one.cell != c:
		case one.Error != "":
			r.void++
		default:
			good = append(good, one)
		}
	}
	of := func(figure func(run) float64) float64 {
		var values []float64
		for _, one := range good {
			values = append(values, figure(one))
		}
		return median(values)
	}
	r.rounds = len(good)
	r.perSecond, r.cpuMicros, r.replicaMiB = of(run.perSecond), of(run.cpuMicros), of(run.replicaMiB)
	r.p50Micros = of(func(one run) float64 { return one.Result.P50Micros })
	r.p99Micros = of(func(one run) float64 { return one.Result.P99Micros })
	r.p999Micros = of(func(one run) float64 { return one.Result.P999Micros })
	r.otherCores = of(func(one run) float64 { return one.Result.OtherCores })
	r.compareRounds(k.beside, good, runs)
	return r
}

// compareRounds fills in the ratios to an engine that shall be equal. They are
// taken round by round: what both met at about the same time cancels out.
func (r *row) compareRounds(beside string, good, runs []run) {
	var rates, cpu []float64
	for _, one := range good {
		i := slices.IndexFunc(runs, func(o run) bool {
			return o.Engine == beside && o.cell == one.cell && o.Round == one.Round && o.Error == ""
		})
		if i >= 0 && runs[i].Result.Operations > 0 {
			rates = append(rates, one.perSecond()/runs[i].perSecond())
			cpu = append(cpu, one.cpuMicros()/runs[i].cpuMicros())
		}
	}
	r.ofTwin, r.cpuOfTwin = median(rates), median(cpu)
}

// mergeVariants keeps the faster of an engine's variants in each cell, under the
// engine's name.
func mergeVariants(rows []row) []row {
	var merged []row
	for _, r := range rows {
		i := slices.IndexFunc(kinds, func(k kind) bool { return slices.Contains(k.variants, r.engine) })
		if i < 0 {
			merged = append(merged, r)
			continue
		}
		r.variant, r.engine = r.engine, kinds[i].name
		at := slices.IndexFunc(merged, func(m row) bool { return m.engine == r.engine && m.cell == r.cell })
		switch {
		case at < 0:
			merged = append(merged, r)
		case r.perSecond > merged[at].perSecond:
			merged[at] = r
		}
	}
	return merged
}

// ceiling is the engine that "of bare" compares with.
const ceiling = "bare"

// compare fills in the ratios. A peer's own ratio compares it with the best peer,
// itself included.
func (r *row) compare(rows []row) {
	var bare, best float64
	for _, other := range rows {
		switch {
		case other.cell != r.cell:
		case other.engine == ceiling:
			bare = other.perSecond
		case !other.ours && other.class == r.class:
			best = max(best, other.perSecond)
		}
	}
	if bare > 0 {
		r.ofBare = r.perSecond / bare
	}
	if best > 0 && r.class != "" {
		r.ofBestPeer = r.perSecond / best
	}
}

// writeTables writes one table for each operation and size, in Markdown, and what
// became of the aims.
func writeTables(out io.Writer, runs []run) {
	rows := summarize(runs)
	title := ""
	var w *tabwriter.Writer
	for _, r := range rows {
		if t := fmt.Sprintf("%s, %d B", r.operation(), r.Value); t != title {
			if w != nil {
				w.Flush()
			}
			title = t
			w = tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
			fmt.Fprintf(out, "\n### %s\n\n", title)
			fmt.Fprintln(w, "| clients\t| engine\t| per s\t| p50 ms\t| p99 ms\t| p99.9 ms\t| CPU µs\t| MiB\t| of bare\t| of best peer\t| of Raft\t| CPU of Raft\t| others\t| rounds\t|")
			fmt.Fprintln(w, "| ---:\t| ---\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t|")
		}
		r.write(w)
	}
	if w != nil {
		w.Flush()
	}
	writeVoid(out, runs)
	writeAims(out, rows)
}

// writeVoid says why runs are void.
func writeVoid(out io.Writer, runs []run) {
	title := "\n### Void runs\n\n"
	for _, r := range runs {
		if r.Error != "" {
			fmt.Fprintf(out, "%s- %s\n", title, r)
			title = ""
		}
	}
}

func (r row) write(w io.Writer) {
	name, rounds := r.engine, fmt.Sprint(r.rounds)
	if r.variant != "" {
		name = r.variant
	}
	if r.void > 0 {
		rounds += fmt.Sprintf(" + %d void", r.void)
	}
	fmt.Fprintf(w, "| %d\t| %s\t| %.0f\t| %s\t| %s\t| %s\t| %.1f\t| %.0f\t| %s\t| %s\t| %s\t| %s\t| %.2f\t| %s\t|\n",
		r.Clients, name, r.perSecond, millis(r.p50Micros), millis(r.p99Micros), millis(r.p999Micros),
		r.cpuMicros, r.replicaMiB, ratio(r.ofBare), ratio(r.ofBestPeer), ratio(r.ofTwin), ratio(r.cpuOfTwin), r.otherCores, rounds)
}

func millis(micros float64) string {
	if micros < 100 {
		return fmt.Sprintf("%.4f", micros/1000)
	}
	return fmt.Sprintf("%.2f", micros/1000)
}

func ratio(r float64) string {
	if r == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", r)
}
