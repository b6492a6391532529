package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/synod-go/synod/internal/docker"
	"github.com/synod-go/synod/mesos"
)

// checkHealth begins to check a task that runs; adopted: it has run for a while.
func (c *container) checkHealth(adopted bool) {
	if c.task == nil || c.task.Health == nil {
		return
	}
	check := c.task.Health.WithDefaults()
	began := time.Now()
	if info, err := os.Stat(c.paths.startedFile()); adopted && err == nil {
		began = info.ModTime()
	}
	h, at, task := c.h, c.at(), *c.task
	life := c.life
	c.beside(func(ctx context.Context) any {
		m := &checker{HealthCheck: check, probe: func(ctx context.Context) error { return probe(ctx, at, task, check) }, turns: h.placesFor(task).checks,
			tell: func(e mesos.ContainerEvent) { life.h.system.Root.Send(life.pid, checked{e}) }}
		m.run(ctx, began)
		return nil
	})
}

// checker checks one task again and again.
type checker struct {
	mesos.HealthCheck
	probe func(ctx context.Context) error
	tell  func(mesos.ContainerEvent)
	turns chan struct{} // a place for each check with a command, of all tasks

	failures int
	health   mesos.Health
}

// run checks until ctx ends or the task is given up.
func (m *checker) run(ctx context.Context, began time.Time) {
	pause(ctx, time.Until(began.Add(m.Delay)))
	for ctx.Err() == nil {
		err := m.inTurn(ctx)
		if ctx.Err() != nil || m.note(err, time.Since(began)) {
			return
		}
		pause(ctx, m.Interval)
	}
}

// inTurn checks once. What it waits for its turn is not the task's time.
func (m *checker) inTurn(ctx context.Context) error {
	if m.Kind == mesos.HealthCommand {
		select {
		case m.turns <- struct{}{}:
			defer func() { <-m.turns }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, m.Timeout)
	defer cancel()
	return m.probe(ctx)
}

// saysNothing reports whether a check could not be made, so that it says nothing of the task.
func saysNothing(err error) bool {
	for _, want := range []error{ErrNotRunning, docker.ErrNoEngine, syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// note takes what a check has found, and reports whether the task is given up.
func (m *checker) note(err error, age time.Duration) (over bool) {
	if saysNothing(err) {
		return false
	}
	if err == nil {
		m.failures = 0
		m.found(mesos.Healthy, "")
		return false
	}
	if m.health == mesos.HealthUnknown && age < m.Grace {
		return false // it is still on its way
	}
	m.failures++
	message := fmt.Sprintf("health check %d of %d in a row failed: %v", m.failures, m.Failures, err)
	if m.failures >= m.Failures {
		m.tell(mesos.ContainerEvent{Kind: mesos.ContainerUnhealthy, Health: mesos.Unhealthy, Message: message})
		return true
	}
	m.found(mesos.Unhealthy, message)
	return false
}

func (m *checker) found(health mesos.Health, message string) {
	if m.health != health {
		m.health = health
		m.tell(mesos.ContainerEvent{Kind: mesos.ContainerChecked, Health: health, Message: message})
	}
}

// probe is one check.
func probe(ctx context.Context, at at, task mesos.TaskInfo, check mesos.HealthCheck) error {
	if check.Kind == mesos.HealthCommand {
		return probeCommand(ctx, at, task, check.Command)
	}
	address, err := at.containerizer.address(ctx, at.place, task, check.Port)
	if err != nil {
		return err
	}
	switch check.Kind {
	case mesos.HealthHTTP:
		return probeHTTP(ctx, "http://"+address+check.Path)
	case mesos.HealthTCP:
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return fmt.Errorf("agent: a health check of kind %d", check.Kind)
}

// probes asks anew each time, and follows nothing.
var probes = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func probeHTTP(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "synod-health")
	response, err := probes.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // what it says does not matter
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("it answered %s", response.Status)
	}
	return nil
}

// probeCommand runs a command beside the task.
func probeCommand(ctx context.Context, at at, task mesos.TaskInfo, command mesos.Command) error {
	said := &bounded{most: 512}
	code, err := at.containerizer.exec(ctx, at.place, task, command, Exec{Stdout: said, Stderr: said})
	switch {
	case err != nil:
		return err
	case code != 0:
		return fmt.Errorf("it ended with %d: %s", code, strings.TrimSpace(string(said.text)))
	}
	return nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	text []byte
	most int
}

// Write never fails.
func (b *bounded) Write(p []byte) (int, error) {
	b.text = append(b.text, p[:min(len(p), b.most-len(b.text))]...)
	return len(p), nil
}
