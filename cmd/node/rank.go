package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/recipes"
)

// rank takes a place in a numbered group, or looks on.
type rank struct {
	*app
	commandFlags
	sessionFlags
	value   string
	observe bool
}

func (a *app) rankCommand() *cobra.Command {
	r := &rank{app: a}
	c := &cobra.Command{
		Use: "rank NAME [-- CMD [ARG...]]", Short: "take a place in a numbered group", Args: ownArgs(1, false),
		Long: "Join the group NAME, a key below which the members stand in the order in which they joined: who is there longest\n" +
			"has rank 0, and all move up when one before them goes. Without CMD all members are shown, now and after each\n" +
			"change, until Ctrl-C. CMD runs with its rank in SYNOD_RANK; when the rank changes CMD gets SIGTERM and, after\n" +
			"--grace, SIGKILL, and is started with the new one. When CMD ends by itself the place is given up; its exit code\n" +
			"is the verb's. SYNOD_GROUP, SYNOD_TOKEN and SYNOD_SESSION are in its environment too.",
		Example: a.example("rank workers --value 10.0.0.1", "rank workers -- sh -c 'exec ./work --shard $SYNOD_RANK'", "rank workers --observe"),
		RunE: func(c *cobra.Command, args []string) error {
			own, command := splitCommand(c, args)
			return r.run(c, strings.Trim(own[0], "/"), command)
		},
	}
	r.commandFlags.add(c)
	r.sessionFlags.add(c)
	c.Flags().StringVar(&r.value, "value", "", "what others see of this member. Default: host and process")
	c.Flags().BoolVar(&r.observe, "observe", false, "only look on")
	return c
}

func (r *rank) run(c *cobra.Command, name string, args []string) error {
	ctx := c.Context()
	if r.observe {
		if len(args) > 0 {
			return r.usageError(c, "who only looks on has no rank, and so never runs CMD")
		}
		client, err := r.client()
		if err != nil {
			return err
		}
		return endsWith(ctx, recipes.Members(ctx, client, name, func(m []recipes.Member) error { r.tell(m); return nil }))
	}
	if len(args) == 0 {
		return endsWith(ctx, r.repeat(ctx, func() (bool, error) { return r.stay(ctx, name) }))
	}
	cmd, err := r.commandFor(args, r.commandFlags)
	if err != nil {
		return err
	}
	return r.repeat(ctx, func() (bool, error) { return r.work(ctx, name, cmd) })
}

// stay joins, and shows the members until the place is lost or ctx ends.
func (r *rank) stay(ctx context.Context, name string) (lost bool, err error) {
	s, err := r.openSession(ctx, r.sessionFlags)
	if err != nil {
		return false, err
	}
	defer r.endSession(ctx, s)
	m, err := recipes.Join(ctx, s, name, []byte(cmp.Or(r.value, whoami())))
	if err != nil {
		return closed(s.Lost()), err
	}
	err = m.Watch(ctx, func(all []recipes.Member) error { r.tell(all); return nil })
	if ctx.Err() != nil || !tookAway(err) {
		return false, err
	}
	r.hint("the place in %q is lost: %s", name, lostWords(err))
	return true, nil
}

// work joins, and runs the command with the rank, as often as that changes.
func (r *rank) work(ctx context.Context, name string, cmd *command) (lost bool, err error) {
	s, err := r.openSession(ctx, r.sessionFlags)
	if err != nil {
		return false, err
	}
	defer r.endSession(ctx, s)
	m, err := recipes.Join(ctx, s, name, []byte(cmp.Or(r.value, whoami())))
	if err != nil {
		return closed(s.Lost()), err
	}
	place := &place{changed: make(chan struct{})}
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { place.end(m.Watch(watch, place.update)) }()
	for {
		number, changed, there := place.now()
		if !there {
			return r.placeless(ctx, name, place.err)
		}
		if number < 0 {
			<-changed
			continue
		}
		r.hint("this process has rank %d in %q", number, name)
		done, err := cmd.run(ctx, changed, "SYNOD_GROUP="+name, fmt.Sprintf("SYNOD_RANK=%d", number),
			fmt.Sprintf("SYNOD_TOKEN=%d", m.Token()), "SYNOD_SESSION="+s.Token())
		if err != nil || !done.stopped {
			return false, errOr(err, silent(done.code))
		}
	}
}

// placeless is the end of a round whose place is no more.
func (r *rank) placeless(ctx context.Context, name string, why error) (lost bool, err error) {
	if ctx.Err() != nil || !tookAway(why) {
		return false, why
	}
	r.hint("the place in %q is lost: %s; the command was ended", name, lostWords(why))
	return true, nil
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// place is our own rank as the group's watch tells it.
type place struct {
	mu      sync.Mutex
	rank    int  // -1: not known yet
	gone    bool // there will be none any more
	known   bool
	err     error         // why it is gone
	changed chan struct{} // closed when rank or gone changes
}

// update notes our own rank.
func (p *place) update(members []recipes.Member) error {
	for _, m := range members {
		if m.Self {
			p.set(m.Rank, false)
		}
	}
	return nil
}

// end notes that the watch has ended.
func (p *place) end(why error) {
	p.err = why
	p.set(-1, true)
}

func (p *place) set(rank int, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known && p.rank == rank && p.gone == gone {
		return
	}
	p.rank, p.gone, p.known = rank, gone, true
	close(p.changed)
	p.changed = make(chan struct{})
}

// now is our rank, -1 if it is not known yet, and what is closed when it changes.
func (p *place) now() (rank int, changed <-chan struct{}, there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		return -1, p.changed, true
	}
	return p.rank, p.changed, !p.gone
}

// memberLine is a member as rank writes it.
type memberLine struct {
	Rank  int     `json:"rank"`
	Token uint64  `json:"token"`
	Value *string `json:"value,omitempty"`
	Bytes []byte  `json:"value_base64,omitempty"`
	Self  bool    `json:"self,omitempty"`
}

// tell shows all members.
func (r *rank) tell(members []recipes.Member) {
	if r.output == "json" {
		lines := []memberLine{}
		for _, m := range members {
			line := memberLine{Rank: m.Rank, Token: m.Token, Self: m.Self}
			line.Value, line.Bytes = textOrBytes(m.Value)
			lines = append(lines, line)
		}
		_ = r.line(lines) // a closed pipe ends the program
		return
	}
	rows := [][]string{{"RANK", "TOKEN", "VALUE"}}
	for _, m := range members {
		number := fmt.Sprint(m.Rank)
		if m.Self {
			number += " *"
		}
		rows = append(rows, []string{number, fmt.Sprint(m.Token), shown(m.Value)})
	}
	columns(r.out, rows)
}
