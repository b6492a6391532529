package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func (a *app) topCommand() *cobra.Command {
	var every time.Duration
	c := &cobra.Command{
		Use: "top", Short: "the cluster at work: groups, agents and jobs", Args: cobra.NoArgs,
		Long: "Show whether the cluster is well, what each group writes, what of each agent is given to tasks, and what each job has. On a\n" +
			"terminal it is drawn anew every few seconds, with rates, until  q  or Ctrl-C; otherwise it is shown once.",
		Example: a.example("top", "top --every 5s", "top --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return a.usageError(c, "--every is at least 100ms")
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			return a.top(c.Context(), client, every)
		},
	}
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often it is drawn anew on a terminal")
	return c
}

// top shows the cluster once, or on a terminal until the user has seen enough.
func (a *app) top(ctx context.Context, client *api.Client, every time.Duration) error {
	terminal := terminalOf(a.out)
	now, err := lookAtAll(ctx, client)
	if err == nil && (terminal == nil || a.output == "json") {
		err = now.unmanaged // what is asked for once is whole or an error
	}
	if err != nil {
		return err
	}
	if terminal == nil || a.output == "json" {
		u := summed(topLook{}, now)
		return a.answer(u, func(w io.Writer) { io.WriteString(w, strings.Join(fit(topSections(u), 0), "\n")+"\n") })
	}
	s, err := openScreen(terminal, a.in)
	if err != nil {
		return err
	}
	defer s.close()
	watched(ctx, s, every, now, func(ctx context.Context) (topLook, error) { return lookAtAll(ctx, client) })
	return nil
}

// watched draws look after look until ctx ends or somebody presses q. A look that fails leaves what is on the screen, and
// says so there.
func watched(ctx context.Context, s *screen, every time.Duration, now topLook, look func(context.Context) (topLook, error)) {
	type result struct {
		look topLook
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before, failure := topLook{}, error(nil)
	results, next := make(chan result, 1), time.After(every)
	for {
		width, height := s.size()
		s.draw(topLines(before, now, failure, width, height))
		select {
		case <-ctx.Done():
			return
		case key := <-s.keys:
			if key == 'q' || key == 'Q' {
				return
			}
		case <-s.resized:
		case <-s.stopped:
			s.suspend()
		case <-next:
			go func() {
				l, err := look(ctx)
				results <- result{l, err}
			}()
		case r := <-results:
			if failure = r.err; failure == nil {
				before, now = now, r.look
			}
			next = time.After(every)
			if errors.Is(failure, context.Canceled) {
				return
			}
		}
	}
}
