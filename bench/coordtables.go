package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// theirs is the service that others are compared with.
const theirs = "zookeeper"

func (r coordRun) perSecond() float64 { return float64(r.Result.Operations) / r.Result.Seconds }

// serverMicros is the CPU time of the servers for one operation.
func (r coordRun) serverMicros() float64 {
	var seconds float64
	for _, s := range r.Result.CPUSeconds[:replicaCount] {
		seconds += s
	}
	return seconds * 1e6 / float64(max(1, r.Result.Operations))
}

func (r coordRun) String() string {
	what := fmt.Sprintf("round %d  %-40s %-10s", r.Round, r.coordCell, r.Service)
	if r.Error != "" {
		return what + "void: " + r.Error
	}
	return fmt.Sprintf("%s%9.0f/s  p50 %7.0f µs  p99 %7.0f µs  %6.1f µs of the servers  client %.2f others %.2f cores",
		what, r.perSecond(), r.Result.P50Micros, r.Result.P99Micros, r.serverMicros(), r.Result.CPUSeconds[replicaCount]/r.Result.Seconds, r.Result.OtherCores)
}

func (f fanOut) String() string {
	if f.Error != "" {
		return fmt.Sprintf("round %d  fan-out  %-10s void: %s", f.Round, f.Service, f.Error)
	}
	return fmt.Sprintf("round %d  fan-out to %d  %-10s median %.2f ms  p99 %.2f ms  last %.2f ms  %.1f µs of the servers for each",
		f.Round, f.Watchers, f.Service, f.Millis, f.P99Millis, f.LastOf, f.CPUMicros)
}

func (o opening) String() string {
	what := fmt.Sprintf("round %d  sessions  %-10s", o.Round, o.Service)
	for _, h := range o.Steps {
		what += fmt.Sprintf("%d: %.0f MiB  ", h.Sessions, h.MiB)
	}
	if o.Error != "" {
		return what + "void: " + o.Error
	}
	return fmt.Sprintf("%sopened %.0f/s  %.0f µs of the servers  closed %.0f/s  then %.3f cores", what, o.Each, o.Micros, o.Close, o.IdleCPU)
}

func (t takeOver) String() string {
	if t.Error != "" {
		return fmt.Sprintf("kill  %-10s void: %s", t.Service, t.Error)
	}
	return fmt.Sprintf("kill  %-10s new session %.0f ms  follower's %.0f ms  leader's %.0f ms", t.Service, t.New, t.Follower, t.Leader)
}

// A coordTable is one table of a report, a row for each service.
type coordTable struct {
	title   string
	columns []string
	rows    [][]string
}

func (t coordTable) write(out io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(out, "\n### %s\n\n", t.title)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	defer w.Flush()
	rule := make([]string, len(t.columns))
	for i := range rule {
		rule[i] = "---:"
	}
	for _, cells := range append([][]string{t.columns, rule}, t.rows...) {
		fmt.Fprintf(w, "| %s\t|\n", strings.Join(cells, "\t| "))
	}
}

func writeCoordTables(out io.Writer, r *coordReport) {
	for _, t := range []coordTable{r.loadTable(), r.watchTable(), r.openingTable(), r.takeOverTable()} {
		t.write(out)
	}
	title := "\n### Void\n\n"
	for _, one := range r.void() {
		fmt.Fprintf(out, "%s- %s\n", title, one)
		title = ""
	}
}

func (r *coordReport) void() (all []string) {
	for _, one := range r.Runs {
		if one.Error != "" {
			all = append(all, one.String())
		}
	}
	for _, one := range r.FanOuts {
		if one.Error != "" {
			all = append(all, one.String())
		}
	}
	for _, one := range r.Openings {
		if one.Error != "" {
			all = append(all, one.String())
		}
	}
	for _, one := range r.TakeOvers {
		if one.Error != "" {
			all = append(all, one.String())
		}
	}
	return all
}

// good are the runs of a cell by one service that are not void.
func good(runs []coordRun, c coordCell, service string) []coordRun {
	return slices.DeleteFunc(slices.Clone(runs), func(one coordRun) bool {
		return one.Error != "" || one.coordCell != c || one.Service != service
	})
}

func (r *coordReport) loadTable() coordTable {
	t := coordTable{title: "Load", columns: []string{"operation", "sessions × calls", "service", "per s", "p50 ms", "p99 ms", "server CPU µs", "of ZooKeeper", "CPU of ZooKeeper", "others", "rounds"}}
	var cells []coordCell
	var services []string
	for _, one := range r.Runs {
		if !slices.Contains(cells, one.coordCell) {
			cells = append(cells, one.coordCell)
		}
		if !slices.Contains(services, one.Service) {
			services = append(services, one.Service)
		}
	}
	slices.Sort(services)
	for _, c := range cells {
		for _, name := range services {
			runs := good(r.Runs, c, name)
			of := func(figure func(coordRun) float64) float64 { return medianOf(runs, figure) }
			rates, cpu := coordRatios(runs, good(r.Runs, c, theirs))
			t.rows = append(t.rows, []string{c.Operation, c.shape(), name,
				fmt.Sprintf("%.0f", of(coordRun.perSecond)), millis(of(func(one coordRun) float64 { return one.Result.P50Micros })),
				millis(of(func(one coordRun) float64 { return one.Result.P99Micros })), fmt.Sprintf("%.1f", of(coordRun.serverMicros)),
				ratio(rates), ratio(cpu), fmt.Sprintf("%.2f", of(func(one coordRun) float64 { return one.Result.OtherCores })), fmt.Sprint(len(runs))})
		}
	}
	return t
}

// coordRatios are the medians of what each run has over theirs of the same round.
func coordRatios(runs, others []coordRun) (rate, cpu float64) {
	var rates, used []float64
	for _, one := range runs {
		for _, other := range others {
			if one.Round == other.Round && other.Result.Operations > 0 {
				rates = append(rates, one.perSecond()/other.perSecond())
				used = append(used, one.serverMicros()/other.serverMicros())
			}
		}
	}
	return median(rates), median(used)
}

func medianOf[T any](all []T, figure func(T) float64) float64 {
	var values []float64
	for _, one := range all {
		values = append(values, figure(one))
	}
	return median(values)
}

func (r *coordReport) watchTable() coordTable {
	t := coordTable{title: "One change, many watchers", columns: []string{"service", "watchers", "median ms", "p99 ms", "last ms", "server CPU µs for each", "missed", "rounds"}}
	byService(r.FanOuts, func(f fanOut) (string, bool) { return f.Service, f.Error == "" }, func(name string, all []fanOut) {
		of := func(figure func(fanOut) float64, form string) string { return fmt.Sprintf(form, medianOf(all, figure)) }
		t.rows = append(t.rows, []string{name, fmt.Sprint(all[0].Watchers), of(func(f fanOut) float64 { return f.Millis }, "%.2f"),
			of(func(f fanOut) float64 { return f.P99Millis }, "%.2f"), of(func(f fanOut) float64 { return f.LastOf }, "%.2f"),
			of(func(f fanOut) float64 { return f.CPUMicros }, "%.1f"), of(func(f fanOut) float64 { return float64(f.Missed) }, "%.0f"), fmt.Sprint(len(all))})
	})
	return t
}

func (r *coordReport) openingTable() coordTable {
	t := coordTable{title: "Sessions", columns: []string{"service", "opened per s", "closed per s", "server CPU µs for each", "cores while idle", "rounds"}}
	byService(r.Openings, func(o opening) (string, bool) { return o.Service, o.Error == "" }, func(name string, all []opening) {
		cells := []string{name, fmt.Sprintf("%.0f", medianOf(all, func(o opening) float64 { return o.Each })),
			fmt.Sprintf("%.0f", medianOf(all, func(o opening) float64 { return o.Close })),
			fmt.Sprintf("%.0f", medianOf(all, func(o opening) float64 { return o.Micros })),
			fmt.Sprintf("%.3f", medianOf(all, func(o opening) float64 { return o.IdleCPU })), fmt.Sprint(len(all))}
		for i, h := range all[0].Steps {
			if len(t.rows) == 0 {
				t.columns = append(t.columns, fmt.Sprintf("MiB with %d", h.Sessions))
			}
			cells = append(cells, fmt.Sprintf("%.0f", medianOf(all, func(o opening) float64 { return o.Steps[i].MiB })))
		}
		t.rows = append(t.rows, cells)
	})
	return t
}

func (r *coordReport) takeOverTable() coordTable {
	t := coordTable{title: "The leader is killed: ms until a write", columns: []string{"service", "new session", "session at a follower", "session at the leader", "kills"}}
	byService(r.TakeOvers, func(o takeOver) (string, bool) { return o.Service, o.Error == "" }, func(name string, all []takeOver) {
		t.rows = append(t.rows, []string{name, fmt.Sprintf("%.0f", medianOf(all, func(o takeOver) float64 { return o.New })),
			fmt.Sprintf("%.0f", medianOf(all, func(o takeOver) float64 { return o.Follower })),
			fmt.Sprintf("%.0f", medianOf(all, func(o takeOver) float64 { return o.Leader })), fmt.Sprint(len(all))})
	})
	return t
}

// byService calls f with each service's good ones, in the order of names.
func byService[T any](all []T, of func(T) (name string, good bool), f func(string, []T)) {
	groups := map[string][]T{}
	var names []string
	for _, one := range all {
		name, good := of(one)
		if !good {
			continue
		}
		if len(groups[name]) == 0 {
			names = append(names, name)
		}
		groups[name] = append(groups[name], one)
	}
	slices.Sort(names)
	for _, name := range names {
		f(name, groups[name])
	}
}
