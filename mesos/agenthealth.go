package mesos

import (
	"fmt"
	"time"
)

// MaxHealthTime bounds each time of a HealthCheck.
const MaxHealthTime = 24 * time.Hour

// WithDefaults fills in what is 0.
func (h HealthCheck) WithDefaults() HealthCheck {
	span := func(d *time.Duration, other time.Duration) {
		if *d == 0 {
			*d = other
		}
	}
	span(&h.Delay, 15*time.Second)
	span(&h.Interval, 10*time.Second)
	span(&h.Timeout, 20*time.Second)
	span(&h.Grace, 10*time.Second)
	if h.Failures == 0 {
		h.Failures = 3
	}
	if h.Path == "" {
		h.Path = "/"
	}
	return h
}

// wrong says what is wrong with a check, "" if nothing is or there is none.
func (h *HealthCheck) wrong() string {
	if h == nil {
		return ""
	}
	for _, d := range []time.Duration{h.Delay, h.Interval, h.Timeout, h.Grace} {
		if d < 0 || d > MaxHealthTime {
			return fmt.Sprintf("has a time of %v, which is not between 0 and %v", d, MaxHealthTime)
		}
	}
	switch {
	case h.Failures < 0:
		return "ends a task after less than one failure"
	case h.Kind == HealthCommand && h.Command.Value == "":
		return "has no command"
	case h.Kind == HealthCommand:
		return ""
	case h.Kind != HealthHTTP && h.Kind != HealthTCP:
		return fmt.Sprintf("is of kind %d, which there is not", h.Kind)
	case h.Port == 0:
		return "has no port"
	case h.Kind == HealthHTTP && h.Path != "" && h.Path[0] != '/':
		return "has a path that does not begin with a slash"
	}
	return ""
}

// tellHealth tells of a task's health when that is new. It waits while another update does: so
// that no more wait of a task than it has states.
func (a *Agent) tellHealth(t *agentTask, message string) {
	if t.State == Running && t.health != t.status().Health {
		a.tell(t, TaskStatus{State: Running, Reason: ReasonTaskHealthStatusUpdated, Message: message})
	}
}

// unhealthy ends a task that does not work. It has failed, however it ends.
func (a *Agent) unhealthy(t *agentTask, message string) {
	if t.failing != "" {
		return
	}
	if message == "" {
		message = "its health checks failed"
	}
	t.health, t.failing = Unhealthy, message
	a.tellHealth(t, message)
	a.stop(t, t.KillGrace)
}
