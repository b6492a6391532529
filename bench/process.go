package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An order is what the conductor writes, one JSON object a line, to the standard
// input of a process that runs `bench serve`. The end of the input ends it.
type order struct {
	Load    *loadOrder    `json:"load,omitempty"`
	Probe   *probeOrder   `json:"probe,omitempty"`
	Fill    *fillOrder    `json:"fill,omitempty"`
	Changes *changesOrder `json:"changes,omitempty"`
	Reach   uint64        `json:"reach,omitempty"` // tell when this index is applied
}

// An event is what such a process writes to its standard output.
type event struct {
	Kind   string      `json:"kind"` // started, leading, following, result, acknowledged, filled, reached, changed, failed
	Error  string      `json:"error,omitempty"`
	Result *loadResult `json:"result,omitempty"`
	// AcknowledgedAt is the wall clock, in nanoseconds, at the end of the first
	// write of a probe.
	AcknowledgedAt int64    `json:"acknowledged_at,omitempty"`
	Index          uint64   `json:"index,omitempty"` // that a filled replica has applied
	Changes        []change `json:"changes,omitempty"`
}

// A process is a child of the conductor.
type process struct {
	command *exec.Cmd
	input   io.WriteCloser
	events  chan event // closed when the process has ended
	stderr  string     // name of the file with what it complained about
}

const (
	eventBacklog = 64
	stopPatience = 5 * time.Second
)

// startProcess runs this program again with the given arguments.
func startProcess(stderr string, arguments ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	complaints, err := os.Create(stderr)
	if err != nil {
		return nil, err
	}
	defer complaints.Close() // the child has its own descriptor
	p := &process{command: exec.Command(self, arguments...), events: make(chan event, eventBacklog), stderr: stderr}
	p.command.Stderr = complaints
	if p.input, err = p.command.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go p.readEvents(output)
	return p, nil
}

// readEvents drops what nobody takes rather than block the child.
func (p *process) readEvents(output io.Reader) {
	defer close(p.events)
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // an engine that prints to the standard output
		}
		select {
		case p.events <- e:
		default:
		}
	}
}

func (p *process) pid() int { return p.command.Process.Pid }

func (p *process) send(o order) error { return json.NewEncoder(p.input).Encode(o) }

// wait returns the first event of the given kind.
func (p *process) wait(kind string, patience time.Duration) (event, error) {
	timeout := time.After(patience)
	for {
		select {
		case e, open := <-p.events:
			switch {
			case !open:
				return event{}, fmt.Errorf("process ended before it was %s: %s", kind, p.complaints())
			case e.Kind == kind:
				return e, nil
			case e.Kind == "failed":
				return event{}, fmt.Errorf("process failed: %s", e.Error)
			}
		case <-timeout:
			return event{}, fmt.Errorf("process not %s after %v: %s", kind, patience, p.complaints())
		}
	}
}

// complaints returns the end of what the process wrote to its standard error.
func (p *process) complaints() string {
	const most = 1500
	b, _ := os.ReadFile(p.stderr)
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}

// kill ends the process at once, as kill -9 does.
func (p *process) kill() error { return p.command.Process.Kill() }

// end asks the process to stop, kills it if it does not, and waits for its end.
func (p *process) end() {
	p.input.Close()
	timer := time.AfterFunc(stopPatience, func() { p.command.Process.Kill() })
	defer timer.Stop()
	for range p.events { // closed at the end of its output
	}
	_ = p.command.Wait() // how it ended does not matter: its work is done
}

// cpuTime is the time that all threads of a process have spent on a core: its
// CPU clock, which the kernel keeps in nanoseconds.
func cpuTime(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED in the low three bits; the rest is ^pid
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &ts); err != nil {
		return 0, fmt.Errorf("cpu clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// peakMemory is the largest resident size that a process ever had, in bytes, and
// 0 when it cannot be known.
func peakMemory(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// busyTime is the time that all cores together were not idle since boot, to one
// hundredth of a second. Time that the hypervisor took counts as busy.
func busyTime() time.Duration {
	const tick = 10 * time.Millisecond
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal guest...
	var ticks int64
	for i, field := range fields {
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(field, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * tick
}
