package jobfile

import (
	"bytes"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// Format writes a job as a file says it: Parse reads the same from it. What is as by default
// is left out.
func Format(s jobs.Spec) string {
	s = s.WithDefaults()
	d := jobs.Spec{Kind: s.Kind, Schedule: s.Schedule}.WithDefaults()
	var f formatter
	f.put("name", s.Name)
	f.put("count", s.Count)
	if s.Docker != nil {
		f.docker(s.Docker)
	}
	if s.Command.Shell {
		f.put("shell", s.Command.Value)
	} else if s.Command.Value != "" || s.Docker == nil {
		f.put("exec", append([]string{s.Command.Value}, s.Command.Arguments...))
	}
	f.some("env", s.Command.Environment, len(s.Command.Environment) > 0)
	f.some("user", s.Command.User, s.Command.User != "")
	f.some("fetch", fetches(s.Command.URIs), len(s.Command.URIs) > 0)
	f.put("cpus", number(s.CPUs))
	f.put("memory", s.Memory.String()+"MiB")
	f.some("disk", s.Disk.String()+"MiB", s.Disk > 0)
	f.some("ports", ports(s.Ports), len(s.Ports) > 0)
	f.some("role", s.Role, s.Role != d.Role)
	f.some("constraints", constraints(s.Constraints), len(s.Constraints) > 0)
	if s.Health != nil {
		f.node("health", health(s.Health, s.HealthPort))
	}
	f.node("restart", restart(s.Restart))
	f.some("kill_grace", s.KillGrace.String(), s.KillGrace != d.KillGrace)
	f.some("on_unreachable", "replace after "+s.ReplaceAfter.String(), s.ReplaceAfter > 0)
	if s.Kind == jobs.Service {
		f.node("update", update(s.Update))
	}
	f.some("once", true, s.Kind == jobs.Once)
	f.some("schedule", s.Schedule, s.Schedule != "")
	f.some("overlap", true, s.Overlap)
	f.some("labels", s.Labels, len(s.Labels) > 0)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&f.Node); err != nil {
		return fmt.Sprintf("# this job cannot be written: %v\n", err)
	}
	return b.String()
}

// formatter is a mapping whose keys keep their order.
type formatter struct{ yaml.Node }

func (f *formatter) put(key string, value any) {
	var n yaml.Node
	if err := n.Encode(value); err != nil {
		return
	}
	if n.Kind == yaml.SequenceNode {
		n.Style = yaml.FlowStyle
	}
	f.node(key, &n)
}

func (f *formatter) some(key string, value any, said bool) {
	if said {
		f.put(key, value)
	}
}

func (f *formatter) node(key string, n *yaml.Node) {
	f.Kind = yaml.MappingNode
	f.Content = append(f.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, n)
}

// number is written as a number, with no quotes.
func number(m mesos.Milli) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: m.String()} }

func fetches(uris []mesos.URI) []yaml.Node {
	var list []yaml.Node
	for _, u := range uris {
		var f formatter
		f.Style = yaml.FlowStyle
		f.put("url", u.Value)
		f.some("sha256", u.SHA256, u.SHA256 != "")
		f.some("output", u.Output, u.Output != "")
		f.some("executable", true, u.Executable)
		f.some("extract", true, u.Extract)
		list = append(list, f.Node)
	}
	return list
}

func ports(ports []jobs.Port) []yaml.Node {
	var list []yaml.Node
	for _, p := range ports {
		if p.Host == 0 && p.Container == 0 {
			var n yaml.Node
			n.SetString(p.Name)
			list = append(list, n)
			continue
		}
		var f formatter
		f.Style = yaml.FlowStyle
		f.put("name", p.Name)
		f.some("host", int(p.Host), p.Host != 0)
		f.some("container", int(p.Container), p.Container != 0)
		list = append(list, f.Node)
	}
	return list
}

func constraints(all []jobs.Constraint) []string {
	var list []string
	for _, c := range all {
		if c.Operator == "is" || c.Operator == "not" {
			list = append(list, c.Attribute+" "+c.Operator+" "+c.Value)
		} else {
			list = append(list, c.Operator+" "+c.Attribute)
		}
	}
	return list
}

func health(h *mesos.HealthCheck, port string) *yaml.Node {
	var f formatter
	f.Style = yaml.FlowStyle
	if port == "" && h.Port != 0 {
		port = fmt.Sprint(h.Port)
	}
	switch h.Kind {
	case mesos.HealthHTTP:
		f.put("http", h.Path)
		f.some("port", port, port != "")
	case mesos.HealthTCP:
		f.put("tcp", port)
	default:
		f.put("command", h.Command.Value)
	}
	for _, t := range []struct {
		key string
		d   time.Duration
	}{{"every", h.Interval}, {"delay", h.Delay}, {"timeout", h.Timeout}, {"grace", h.Grace}} {
		if t.d == none && (t.key == "delay" || t.key == "grace") {
			t.d = 0
			f.put(t.key, "0s")
		}
		f.some(t.key, t.d.String(), t.d != 0)
	}
	f.some("fail_after", h.Failures, h.Failures != 0)
	return &f.Node
}

func restart(r jobs.Restart) *yaml.Node {
	var f formatter
	f.Style = yaml.FlowStyle
	f.put("on", r.On)
	f.put("backoff", r.BackoffMin.String()+".."+r.BackoffMax.String())
	f.some("give_up_after", r.GiveUpAfter, r.GiveUpAfter != 0)
	return &f.Node
}

func update(u jobs.Update) *yaml.Node {
	var f formatter
	f.Style = yaml.FlowStyle
	f.put("parallel", u.Parallel)
	f.put("healthy_after", u.HealthyAfter.String())
	f.put("deadline", u.Deadline.String())
	f.some("rollback", false, u.NoRollback)
	return &f.Node
}
