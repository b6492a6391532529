package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// benchFlags say what load to put on a cluster.
type benchFlags struct {
	clients, size, keys int
	duration            time.Duration
	op, level           string
}

// benchResult is what came of it. Latencies are in milliseconds.
type benchResult struct {
	Op        string  `json:"op"`
	Clients   int     `json:"clients"`
	Size      int     `json:"size_bytes"`
	Seconds   float64 `json:"seconds"`
	Done      int     `json:"done"`
	Failed    int     `json:"failed"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P90       float64 `json:"p90_ms"`
	P99       float64 `json:"p99_ms"`
	P999      float64 `json:"p999_ms"`
	Max       float64 `json:"max_ms"`
	Why       string  `json:"why_failed,omitempty"` // the first failure
}

func (a *app) benchCommand() *cobra.Command {
	f := &benchFlags{}
	c := &cobra.Command{
		Use: "bench", Short: "put load on a cluster and show latencies", Args: cobra.NoArgs,
		Long:    "Write or read keys below bench/ with many clients for a while. The keys are removed at the end.",
		Example: a.example("bench --clients 64 --duration 10s", "bench --op get --level lease --clients 16 --output json"),
		RunE:    func(c *cobra.Command, _ []string) error { return a.bench(c.Context(), f) },
	}
	c.Flags().IntVar(&f.clients, "clients", 16, "clients that each wait for their answer, 1 to 4096")
	c.Flags().DurationVar(&f.duration, "duration", 5*time.Second, "how long")
	c.Flags().IntVar(&f.size, "size", 128, "bytes of a value, up to 1 MiB")
	c.Flags().IntVar(&f.keys, "keys", 1000, "how many different keys")
	c.Flags().StringVar(&f.op, "op", "put", "put or get")
	c.Flags().StringVar(&f.level, "level", "linearizable", "of a get: linearizable, lease, sequential or stale")
	return c
}

func (f *benchFlags) check() error {
	switch {
	case f.op != "put" && f.op != "get":
		return &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("cannot bench %q", f.op), Do: []string{"--op put or --op get"}}
	case f.clients < 1 || f.clients > 4096:
		return f.impossible("--clients is 1 to 4096")
	case f.size < 0 || f.size > 1<<20:
		return f.impossible("--size is 0 to 1048576, the largest value")
	case f.keys < 1:
		return f.impossible("--keys is at least 1")
	case f.duration <= 0:
		return f.impossible("--duration is above 0")
	case !slices.Contains([]api.Level{api.Linearizable, api.Lease, api.Sequential, api.Stale}, api.Level(f.level)):
		return f.impossible("--level is linearizable, lease, sequential or stale")
	}
	return nil
}

func (f *benchFlags) impossible(why string) error {
	return &api.Error{Code: api.CodeUsage, Message: "that load cannot be made", Why: why, Do: []string{"node bench --help"}}
}

func (a *app) bench(ctx context.Context, f *benchFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	defer client.Close()
	value := make([]byte, f.size)
	for i := range value {
		value[i] = byte('a' + i%26)
	}
	if _, err := client.Put(ctx, "bench/0", value, api.WriteOptions{}); err != nil {
		return err
	}
	if f.op == "get" {
		if err := parallel(16, f.keys, func(i int) error { return put(ctx, client, i, value) }); err != nil {
			return err
		}
	}
	a.hint("%d clients %s %d bytes for %s ...", f.clients, f.op, f.size, f.duration)
	result := f.load(ctx, client, value)
	tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), benchTidy) // after Ctrl-C too
	defer cancel()
	if _, err := client.Delete(tidy, "bench", api.WriteOptions{Recursive: true}); err != nil {
		a.hint("the keys below bench/ are still there: %s", plain(err))
	}
	if result.Done == 0 {
		return &api.Error{Code: api.CodeUnhealthy, Message: "nothing was done", Why: result.Why, Do: []string{"node status"}}
	}
	return a.answer(result, func(w io.Writer) { showBench(w, result) })
}

// benchTidy is how long the keys of a measurement may take to be deleted.
const benchTidy = 5 * time.Second

func put(ctx context.Context, client *api.Client, i int, value []byte) error {
	_, err := client.Put(ctx, fmt.Sprintf("bench/%d", i), value, api.WriteOptions{})
	return err
}

// load runs the clients until the time is over.
func (f *benchFlags) load(ctx context.Context, client *api.Client, value []byte) benchResult {
	began := time.Now()
	end := began.Add(f.duration)
	all := make([][]time.Duration, f.clients)
	var mu sync.Mutex
	result := benchResult{Op: f.op, Clients: f.clients, Size: f.size}
	var group sync.WaitGroup
	for i := range f.clients {
		group.Go(func() {
			for ctx.Err() == nil && time.Now().Before(end) {
				start := time.Now()
				err := f.one(ctx, client, value)
				if ctx.Err() != nil {
					return // it was given up by the user, which is no failure
				}
				if err != nil {
					mu.Lock()
					result.Failed++
					if result.Why == "" {
						result.Why = plain(err)
					}
					mu.Unlock()
					continue
				}
				all[i] = append(all[i], time.Since(start))
			}
		})
	}
	group.Wait()
	sorted := slices.Concat(all...)
	slices.Sort(sorted)
	result.Seconds = time.Since(began).Seconds()
	result.Done = len(sorted)
	result.PerSecond = float64(result.Done) / result.Seconds
	result.P50, result.P90 = ms(quantile(sorted, 0.5)), ms(quantile(sorted, 0.9))
	result.P99, result.P999, result.Max = ms(quantile(sorted, 0.99)), ms(quantile(sorted, 0.999)), ms(quantile(sorted, 1))
	return result
}

func (f *benchFlags) one(ctx context.Context, client *api.Client, value []byte) error {
	i := rand.IntN(f.keys)
	if f.op == "put" {
		return put(ctx, client, i, value)
	}
	_, _, err := client.Get(ctx, fmt.Sprintf("bench/%d", i), api.ReadOptions{Level: api.Level(f.level)})
	return err
}

func showBench(w io.Writer, r benchResult) {
	number := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	columns(w, [][]string{
		{"OP", "CLIENTS", "BYTES", "DONE", "FAILED", "PER SECOND", "P50 MS", "P90", "P99", "P99.9", "MAX"},
		{r.Op, fmt.Sprint(r.Clients), fmt.Sprint(r.Size), counted(uint64(r.Done)), counted(uint64(r.Failed)), counted(uint64(r.PerSecond)),
			number(r.P50), number(r.P90), number(r.P99), number(r.P999), number(r.Max)},
	})
}
