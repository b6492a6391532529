//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/synod-go/synod/mesos"
)

// Each letter is what a check finds: h is healthy, u is not. What is told: H, U, and X when the
// task is given up.
func TestAHealthCheckTellsWhatIsNewAndGivesUpAfterSoManyFailures(t *testing.T) {
	for _, c := range []struct {
		finds, want string
		check       mesos.HealthCheck
	}{
		{"hhh", "H", mesos.HealthCheck{}},
		{"uh", "UH", mesos.HealthCheck{}},
		{"uuhuuu", "UHUX", mesos.HealthCheck{}},
		{"huhuhuuu", "HUHUHUX", mesos.HealthCheck{}},
		{"uuuu", "UX", mesos.HealthCheck{Grace: 30 * time.Second}}, // at 15 and 25 s they do not count
		{"huuu", "HUX", mesos.HealthCheck{Grace: time.Hour}},       // it has been healthy
		{"u", "X", mesos.HealthCheck{Failures: 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			finds, told, began := c.finds, "", time.Now()
			check := c.check
			check.Kind, check.Port = mesos.HealthTCP, 1
			if check.Grace == 30*time.Second {
				finds = "uu" + "uuu"
			}
			m := &checker{HealthCheck: check.WithDefaults(), tell: func(e mesos.ContainerEvent) {
				switch {
				case e.Kind == mesos.ContainerUnhealthy:
					told += "X"
				case e.Health == mesos.Healthy:
					told += "H"
				default:
					told += "U"
				}
			}}
			n := 0
			m.probe = func(context.Context) error {
				if want := 15*time.Second + time.Duration(n)*10*time.Second; time.Since(began) != want {
					t.Errorf("check %d after %v, want after %v", n, time.Since(began), want)
				}
				if n == len(finds) {
					cancel()
					return nil
				}
				n++
				if finds[n-1] == 'u' {
					return errors.New("no")
				}
				return nil
			}
			m.run(ctx, began)
			if told != c.want {
				t.Errorf("%+v finds %s: told %s, want %s", c.check, finds, told, c.want)
			}
		})
	}
}

func TestACheckThatTakesTooLongHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		m := &checker{HealthCheck: mesos.HealthCheck{Kind: mesos.HealthTCP, Port: 1, Failures: 1}.WithDefaults(),
			tell:  func(e mesos.ContainerEvent) { told = append(told, e.Message) },
			probe: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		m.run(t.Context(), time.Now())
		if len(told) != 1 || !strings.Contains(told[0], "deadline") {
			t.Errorf("told %q", told)
		}
	})
}

// Commands that people run do not keep checks from being made, and a check waits for its turn as long
// as it takes: else healthy tasks would be ended where many are checked.
func TestACheckWaitsForItsTurnAndHasNotFailedByThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		turns := make(chan struct{}, 1)
		turns <- struct{}{} // somebody else's, for longer than all checks together may take
		time.AfterFunc(time.Hour, func() { <-turns })
		var told []mesos.ContainerEvent
		finds := []error{fmt.Errorf("agent: %w", syscall.EAGAIN), ErrNotRunning, syscall.EMFILE, nil}
		m := &checker{HealthCheck: mesos.HealthCheck{Kind: mesos.HealthCommand, Failures: 1}.WithDefaults(), turns: turns,
			tell: func(e mesos.ContainerEvent) { told = append(told, e); cancel() },
			probe: func(ctx context.Context) (err error) {
				err, finds = finds[0], finds[1:]
				return errors.Join(err, ctx.Err())
			}}
		m.run(ctx, time.Now())
		if len(told) != 1 || told[0].Health != mesos.Healthy || len(turns) != 0 {
			t.Errorf("told %+v, want that it is healthy; %d places are taken", told, len(turns))
		}
	})
}

func TestChecksDoNotWaitForTheCommandsOfPeople(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	for range maxExecs {
		h.execs <- struct{}{}
	}
	info := task("t", "exec sleep 1000")
	info.Health = &mesos.HealthCheck{Kind: mesos.HealthCommand, Command: mesos.Command{Value: "true"}, Delay: time.Millisecond, Grace: time.Millisecond, Failures: 1}
	m.launch(info)
	m.until("it is told to be healthy", func() bool {
		return slices.ContainsFunc(m.of("t"), func(s mesos.TaskStatus) bool { return s.Health == mesos.Healthy })
	})
}

func portOf(t *testing.T, address string) uint16 {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(port)
}

func TestTheKindsOfHealthChecks(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	c := m.launch(task("t", "echo fine > state; exec sleep 1000"))
	m.told("t", mesos.Running)
	eventually(t, "it has begun", func() bool { return content(work, c, "sandbox", "state") != "" })
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("Location", "/500")
		w.WriteHeader(code)
	}))
	defer web.Close()
	port := portOf(t, web.Listener.Addr().String())
	shell := func(line string) mesos.HealthCheck {
		return mesos.HealthCheck{Kind: mesos.HealthCommand, Command: mesos.Command{Value: line, Shell: true}}
	}
	page := func(code int) mesos.HealthCheck {
		return mesos.HealthCheck{Kind: mesos.HealthHTTP, Port: port, Path: fmt.Sprint("/", code)}
	}
	for _, k := range []struct {
		check mesos.HealthCheck
		says  string // "": healthy
	}{
		{page(200), ""}, {page(302), ""}, {page(400), "400"}, {page(500), "500"},
		{mesos.HealthCheck{Kind: mesos.HealthTCP, Port: port}, ""}, {mesos.HealthCheck{Kind: mesos.HealthTCP, Port: 1}, "refused"},
		{shell(`test "$(cat state)" = fine && test "$SYNOD_TASK" = t`), ""}, {shell("echo broken >&2; exit 4"), "it ended with 4: broken"},
		{mesos.HealthCheck{Kind: mesos.HealthCommand, Command: mesos.Command{Value: "cat", Arguments: []string{"state"}}}, ""},
	} {
		err := probe(t.Context(), h.at(c), task("t", ""), k.check)
		if (err == nil) != (k.says == "") || err != nil && !strings.Contains(err.Error(), k.says) {
			t.Errorf("%+v: %v, want %q", k.check, err, k.says)
		}
	}
}

func TestAnUnhealthyTaskIsToldAndEnded(t *testing.T) {
	m, work := newMaster(t), newWork(t)
	h := start(t, m, config(t, m, work))
	m.registered(1)
	sick := filepath.Join(work, "sick")
	info := task("t", "exec sleep 1000")
	ms := time.Millisecond
	info.Health = &mesos.HealthCheck{Kind: mesos.HealthCommand, Command: mesos.Command{Value: "test ! -e " + sick, Shell: true},
		Delay: ms, Interval: 20 * ms, Grace: ms, Failures: 2}
	m.launch(info)
	m.until("it is told to be healthy", func() bool {
		return slices.ContainsFunc(m.of("t"), func(s mesos.TaskStatus) bool { return s.Health == mesos.Healthy })
	})
	stopAgent(t, h) // the next one goes on checking
	start(t, m, config(t, m, work))
	m.registered(2)
	touch(t, sick)
	s := m.told("t", mesos.Failed)
	if s.Reason != mesos.ReasonTaskHealthStatusUpdated || s.Health != mesos.Unhealthy || !strings.Contains(s.Message, "2 of 2") {
		t.Errorf("it ended as %+v", s)
	}
}
