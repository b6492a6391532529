package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// eventKinds are what events can be chosen by: what masters tell, and what nodes do.
var eventKinds = []string{"task", "agent", "framework", "master", "election", "member", "fault", "node"}

// electionEvents and memberEvents are the kinds of nodes' events that belong to these.
var (
	electionEvents = []string{"asks to lead", "starts election", "refuses", "became leader", "new leader", "stepped down"}
	memberEvents   = []string{"configuration changed", "member joined", "peer connected", "peer lost"}
)

// happened is what "events" shows of an event of a node, or of a happening of the leading master.
type happened struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`    // one of eventKinds
	Subject string    `json:"subject"` // a node, a task, ...
	Text    string    `json:"text"`
	// Of one of them, all that is told.
	Event     *api.Event     `json:"event,omitempty"`
	Happening *api.Happening `json:"happening,omitempty"`
}

// eventsVerb is the verb "events".
type eventsVerb struct {
	*app
	follow bool
	last   uint
	kinds  []string
}

func (a *app) eventsCommand() *cobra.Command {
	v := &eventsVerb{app: a}
	c := &cobra.Command{
		Use: "events", Short: "what has happened, and why: elections, members, faults, agents, tasks", Args: cobra.NoArgs,
		Long: "Show the last things that have happened, in the order of time: on all nodes, as each remembers its last 1024, and to tasks,\n" +
			"agents, frameworks and masters, as the leading master remembers 10,000 since it was elected. Elections, refusals of votes and\n" +
			"ends of leaderships say why. With --follow, go on with what happens. Kinds: " + strings.Join(eventKinds, ", ") + ".",
		Example: a.example("events", "events --follow --kind election,fault", "events --last 1000 --output ndjson"),
		RunE:    func(c *cobra.Command, _ []string) error { return v.run(c.Context()) },
	}
	flags := c.Flags()
	flags.BoolVarP(&v.follow, "follow", "f", false, "go on until Ctrl-C")
	flags.UintVarP(&v.last, "last", "n", 50, "how many of the past; 0: all")
	flags.StringSliceVar(&v.kinds, "kind", nil, "only these kinds, separated by commas")
	return c
}

func (v *eventsVerb) run(ctx context.Context) error {
	for _, kind := range v.kinds {
		if !slices.Contains(eventKinds, kind) {
			return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("nothing of the kind %q happens", kind), Do: []string{"--kind " + strings.Join(eventKinds, ", ")}}
		}
	}
	client, err := v.client()
	if err != nil {
		return err
	}
	nodes := v.nodes(ctx, client)
	known := &knownEvents{nodes: map[string]uint64{}}
	past, err := v.past(ctx, client, nodes, known)
	if err != nil {
		return err
	}
	if v.last > 0 && len(past) > int(v.last) {
		past = past[len(past)-int(v.last):]
	}
	for _, line := range past {
		if err := v.show(line); err != nil {
			return err
		}
	}
	if !v.follow {
		return nil
	}
	return v.goOn(ctx, client, nodes, known)
}

// knownEvents is up to where what was told is known.
type knownEvents struct {
	mu         sync.Mutex
	nodes      map[string]uint64 // the last Sequence, by address
	happenings api.HappeningOptions
}

// nodes are the API addresses of all nodes: those that the cluster knows, or else those given.
func (v *eventsVerb) nodes(ctx context.Context, client *api.Client) []string {
	ctx, cancel := context.WithTimeout(ctx, v.timeout/2)
	defer cancel()
	var addrs []string
	if list, err := client.Members(ctx); err == nil {
		for _, m := range list.Members {
			if m.API != "" {
				addrs = append(addrs, m.API)
			}
		}
	}
	if len(addrs) == 0 {
		addrs = v.addrs()
	}
	slices.Sort(addrs)
	return slices.Compact(addrs)
}

// past gathers what is remembered. It fails if nobody answers.
func (v *eventsVerb) past(ctx context.Context, client *api.Client, nodes []string, known *knownEvents) ([]happened, error) {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	var mu sync.Mutex
	var all []happened
	var failed []error
	add := func(line happened) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, line)
		return nil
	}
	var wait sync.WaitGroup
	ask := func(what string, f func() error) {
		wait.Go(func() {
			if err := f(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
				v.hint("%s: %s", what, plain(err))
			}
		})
	}
	for _, addr := range nodes {
		ask("no events of the node at "+addr, func() error { return v.ofNode(ctx, addr, true, known, add) })
	}
	ask("no events of the master", func() error { return v.ofMaster(ctx, client, false, known, add) })
	wait.Wait()
	if len(failed) == len(nodes)+1 {
		return nil, failed[0]
	}
	slices.SortStableFunc(all, func(x, y happened) int { return x.Time.Compare(y.Time) })
	return withoutTwins(all), nil
}

// twinsWithin is in what time all nodes tell of one fault, by clocks that may differ.
const twinsWithin = 5 * time.Second

// withoutTwins leaves of one fault, which all nodes tell, the first line. The same may be done again later.
func withoutTwins(lines []happened) []happened {
	seen := map[string]time.Time{}
	return slices.DeleteFunc(lines, func(line happened) bool {
		if line.Kind != "fault" {
			return false
		}
		key := line.Text + line.Event.Attrs["fault"]
		first, told := seen[key]
		if told && line.Time.Sub(first) < twinsWithin {
			return true
		}
		seen[key] = line.Time
		return false
	})
}

// ofNode tells the events of one node that are not known yet.
func (v *eventsVerb) ofNode(ctx context.Context, addr string, past bool, known *knownEvents, tell func(happened) error) error {
	client, err := v.clientOf(api.ClientConfig{Addrs: []string{addr}, Timeout: v.timeout / 2, Rounds: 1})
	if err != nil {
		return err
	}
	defer client.Close()
	known.mu.Lock()
	after := known.nodes[addr]
	known.mu.Unlock()
	return client.Events(ctx, api.EventOptions{After: &after, Past: past}, func(e api.Event) error {
		known.mu.Lock()
		known.nodes[addr] = e.Sequence
		known.mu.Unlock()
		return v.chosen(lineOfEvent(e), tell)
	})
}

// ofMaster tells the happenings that are not known yet.
func (v *eventsVerb) ofMaster(ctx context.Context, client *api.Client, follow bool, known *knownEvents, tell func(happened) error) error {
	o := known.happenings
	o.Follow = follow
	return client.Happenings(ctx, o, func(h api.Happening) error {
		known.happenings.Term, known.happenings.After = h.Term, h.Sequence
		return v.chosen(happened{Time: h.Time, Kind: h.Kind, Subject: h.Subject, Text: h.Text, Happening: &h}, tell)
	})
}

func (v *eventsVerb) chosen(line happened, tell func(happened) error) error {
	if len(v.kinds) > 0 && !slices.Contains(v.kinds, line.Kind) {
		return nil
	}
	return tell(line)
}

// lineOfEvent is a node's event in words.
func lineOfEvent(e api.Event) happened {
	line := happened{Time: e.Time, Kind: "node", Subject: e.Node, Event: &e}
	switch {
	case slices.Contains(electionEvents, e.Kind):
		line.Kind = "election"
	case slices.Contains(memberEvents, e.Kind):
		line.Kind = "member"
	case e.Kind == "fault":
		line.Kind, line.Subject, line.Text = "fault", cmp.Or(e.Attrs["fault"], "-"), e.Reason
		return line
	}
	words := []string{strings.TrimPrefix(e.Kind, "node ")}
	if peer := e.Attrs["peer"]; peer != "" {
		words = append(words, peer)
	}
	switch {
	case e.Ballot != "":
		words = append(words, "ballot "+e.Ballot)
	case e.Term != 0:
		words = append(words, fmt.Sprintf("term %d", e.Term))
	}
	if e.Kind == "new leader" && e.Leader != "" {
		words = append(words, e.Leader)
	}
	if e.Group != "" && e.Group != coordinationGroup {
		words = append(words, "("+e.Group+")")
	}
	line.Text = strings.Join(words, " ")
	if e.Reason != "" {
		line.Text += ": " + e.Reason
	} else if line.Kind == "node" {
		line.Text += attrWords(e.Attrs)
	}
	return line
}

func attrWords(attrs map[string]string) (text string) {
	for _, key := range slices.Sorted(maps.Keys(attrs)) {
		text += " " + key + "=" + attrs[key]
	}
	return text
}

const (
	// eventsSettle is how long a line waits for earlier ones of other nodes.
	eventsSettle = 200 * time.Millisecond
	// eventsAgain is after what time a node that broke off is asked again.
	eventsAgain = 500 * time.Millisecond
)

// goOn shows what happens until ctx ends.
func (v *eventsVerb) goOn(ctx context.Context, client *api.Client, nodes []string, known *knownEvents) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan happened, 256)
	tell := func(line happened) error {
		select {
		case lines <- line:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, addr := range nodes {
		go v.again(ctx, func() error { return v.ofNode(ctx, addr, false, known, tell) })
	}
	go v.again(ctx, func() error { return v.ofMaster(ctx, client, true, known, tell) })
	var waiting []happened
	settle := time.NewTicker(eventsSettle)
	defer settle.Stop()
	for {
		select {
		case line := <-lines:
			waiting = append(waiting, line)
		case <-settle.C:
			slices.SortStableFunc(waiting, func(x, y happened) int { return x.Time.Compare(y.Time) })
			for _, line := range withoutTwins(waiting) {
				if err := v.show(line); err != nil {
					return err
				}
			}
			waiting = waiting[:0]
		case <-ctx.Done():
			return silent(api.ExitOK)
		}
	}
}

// again follows one source, over and over.
func (v *eventsVerb) again(ctx context.Context, follow func() error) {
	for ctx.Err() == nil {
		if err := follow(); errors.Is(err, context.Canceled) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(eventsAgain):
		}
	}
}

func (v *eventsVerb) show(line happened) error {
	if v.output == "json" {
		return v.line(line)
	}
	_, err := fmt.Fprintf(v.out, "%s  %-9s  %s  %s\n", line.Time.Local().Format("15:04:05.000"), line.Kind, line.Subject, line.Text)
	return err
}
