package docker_test

import (
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/internal/docker/dockertest"
)

// BenchmarkOneContainer makes, starts, ends and removes one container after the other.
func BenchmarkOneContainer(b *testing.B) {
	e := dockertest.Engine(b)
	var create, start, told, remove time.Duration
	for b.Loop() {
		s := spec(b, "sleep", "1h")
		begun := time.Now()
		step := func(sum *time.Duration, err error) {
			if err != nil {
				b.Fatal(err)
			}
			*sum += time.Since(begun)
			begun = time.Now()
		}
		step(&create, e.Create(b.Context(), s))
		step(&start, e.Start(b.Context(), s.ID))
		if err := e.Kill(b.Context(), s.ID, "SIGKILL"); err != nil {
			b.Fatal(err)
		}
		state := until(b, e, s.ID, "exited")
		told += time.Since(state.Finished)
		begun = time.Now()
		step(&remove, e.Remove(b.Context(), s.ID, false))
	}
	for name, sum := range map[string]time.Duration{"create": create, "start": start, "end-to-told": told, "remove": remove} {
		b.ReportMetric(float64(sum.Milliseconds())/float64(b.N), "ms/"+name)
	}
}

// BenchmarkFiftyContainers makes and starts 50 at once.
func BenchmarkFiftyContainers(b *testing.B) {
	e := dockertest.Engine(b)
	for b.Loop() {
		var specs []docker.Spec
		for range 50 {
			specs = append(specs, spec(b, "sleep", "1h"))
		}
		for _, do := range []func(docker.Spec) error{
			func(s docker.Spec) error {
				if err := e.Create(b.Context(), s); err != nil {
					return err
				}
				return e.Start(b.Context(), s.ID)
			},
			func(s docker.Spec) error { return e.Remove(b.Context(), s.ID, true) },
		} {
			begun := time.Now()
			var all sync.WaitGroup
			for _, s := range specs {
				all.Go(func() {
					if err := do(s); err != nil {
						b.Error(err)
					}
				})
			}
			all.Wait()
			b.Logf("50 in %v", time.Since(begun))
		}
	}
}
