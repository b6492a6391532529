package jobfile

import (
	"cmp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// job reads one document.
func (p *parser) job(n *yaml.Node) jobs.Spec {
	s := jobs.Spec{Kind: jobs.Service, Count: 1}
	once, runtime, docker, problems := false, "", mesos.Docker{}, len(p.problems)
	where := p.mapping(n, "the job", append(p.jobFields(&s, &once), p.dockerFields(&runtime, &docker)...))
	p.docker(n, where, runtime, &docker, &s)
	switch {
	case once && s.Schedule != "":
		p.at(where["once"], "leave one of them out", "once and schedule do not go together")
	case once:
		s.Kind = jobs.Once
	case s.Schedule != "":
		s.Kind = jobs.Timed
	}
	if where["shell"] == nil && where["exec"] == nil && where["image"] == nil && runtime != "docker" {
		p.at(n, "write  shell: COMMAND  or  exec: [PROGRAM, ARGUMENT]", "the job has no command")
	} else if where["shell"] != nil && where["exec"] != nil {
		p.at(where["exec"], "leave one of them out", "shell and exec do not go together")
	}
	if where["name"] == nil {
		p.at(n, "write  name: web", "the job has no name")
	}
	if s.Health != nil && s.HealthPort == "" && s.Health.Port == 0 && s.Health.Kind != mesos.HealthCommand && len(s.Ports) > 0 {
		s.HealthPort = s.Ports[0].Name
	}
	s = s.WithDefaults()
	if len(p.problems) > problems {
		return s // what follows from it is not told
	}
	if faults, ok := s.Check().(jobs.Faults); ok {
		for _, f := range faults {
			key := keyOf(f.Field, where)
			at := where[key]
			if at == nil {
				at = n
			}
			p.at(at, "", "%s: %s", key, f.Text)
		}
	}
	return s
}

// keyOf is the key that a field of a Spec is said by.
func keyOf(field string, where map[string]*yaml.Node) string {
	first, _, _ := strings.Cut(field, ".")
	switch first {
	case "KillGrace":
		return "kill_grace"
	case "ReplaceAfter":
		return "on_unreachable"
	case "Kind":
		return "once"
	case "Docker":
		if where["network"] != nil && where["network"].Value == "none" && where["ports"] != nil {
			return "ports"
		}
		for _, key := range []string{"load", "mounts", "image"} {
			if where[key] != nil {
				return key
			}
		}
	case "Command":
		if where["exec"] != nil {
			return "exec"
		}
		return "shell"
	case "Resources":
		return "memory"
	}
	return strings.ToLower(first)
}

func (p *parser) jobFields(s *jobs.Spec, once *bool) []field {
	return []field{
		{"name", p.text("name", &s.Name)},
		{"count", p.number("count", 0, jobs.MaxCount, &s.Count)},
		{"shell", func(n *yaml.Node) { p.text("shell", &s.Command.Value)(n); s.Command.Shell = true }},
		{"exec", p.texts("exec", 1000, func(_ *yaml.Node, word string) {
			if s.Command.Value == "" && len(s.Command.Arguments) == 0 {
				s.Command.Value = word
			} else {
				s.Command.Arguments = append(s.Command.Arguments, word)
			}
		})},
		{"env", p.texted("env", 1000, &s.Command.Environment)},
		{"user", p.text("user", &s.Command.User)},
		{"fetch", p.list("fetch", jobs.MaxFetched, func(n *yaml.Node) { p.fetch(n, s) })},
		{"cpus", p.cores("cpus", &s.CPUs)},
		{"memory", p.size("memory", &s.Memory)},
		{"disk", p.size("disk", &s.Disk)},
		{"ports", p.list("ports", jobs.MaxPorts, func(n *yaml.Node) { p.port(n, s) })},
		{"role", p.text("role", &s.Role)},
		{"constraints", p.texts("constraints", jobs.MaxConstraints, func(n *yaml.Node, text string) { p.constraint(n, text, s) })},
		{"health", func(n *yaml.Node) { p.health(n, s) }},
		{"restart", func(n *yaml.Node) { p.restart(n, s) }},
		{"kill_grace", p.span("kill_grace", &s.KillGrace)},
		{"on_unreachable", func(n *yaml.Node) { p.unreachable(n, s) }},
		{"update", func(n *yaml.Node) { p.update(n, s) }},
		{"once", p.flag("once", func(b bool) { *once = b })},
		{"schedule", p.text("schedule", &s.Schedule)},
		{"overlap", p.flag("overlap", func(b bool) { s.Overlap = b })},
		{"labels", p.texted("labels", 100, &s.Labels)},
	}
}

func (p *parser) fetch(n *yaml.Node, s *jobs.Spec) {
	var u mesos.URI
	if n.Kind == yaml.ScalarNode {
		p.text("an entry of fetch", &u.Value)(n)
	} else {
		p.mapping(n, "an entry of fetch", []field{
			{"url", p.text("url", &u.Value)},
			{"sha256", p.text("sha256", &u.SHA256)},
			{"output", p.text("output", &u.Output)},
			{"executable", p.flag("executable", func(b bool) { u.Executable = b })},
			{"extract", p.flag("extract", func(b bool) { u.Extract = b })},
		})
		if u.Value == "" {
			p.at(n, "write  url: https://...", "an entry of fetch has no url")
		}
	}
	s.Command.URIs = append(s.Command.URIs, u)
}

func (p *parser) port(n *yaml.Node, s *jobs.Spec) {
	var port jobs.Port
	if n.Kind == yaml.ScalarNode {
		p.text("an entry of ports", &port.Name)(n)
	} else {
		host, container := 0, 0
		p.mapping(n, "an entry of ports", []field{
			{"name", p.text("name", &port.Name)},
			{"host", p.number("host", 1, 65535, &host)},
			{"container", p.number("container", 1, 65535, &container)},
		})
		port.Host, port.Container = uint16(host), uint16(container)
	}
	s.Ports = append(s.Ports, port)
}

func (p *parser) constraint(n *yaml.Node, text string, s *jobs.Spec) {
	words := strings.Fields(text)
	var c jobs.Constraint
	switch {
	case len(words) == 2 && (words[0] == "unique" || words[0] == "spread"):
		c = jobs.Constraint{Operator: words[0], Attribute: words[1]}
	case len(words) >= 3 && (words[1] == "is" || words[1] == "not"):
		c = jobs.Constraint{Attribute: words[0], Operator: words[1], Value: strings.Join(words[2:], " ")}
	default:
		p.at(n, `write "zone is a", "zone not a", "unique hostname" or "spread zone"`, "the constraint %q is not understood", short(text))
		return
	}
	s.Constraints = append(s.Constraints, c)
}

// What a health check has that does not say. Mesos waits for longer, which people feel at each
// update; a check that comes too early does no harm within its grace.
const (
	healthDelay   = time.Second
	healthEvery   = 5 * time.Second
	healthTimeout = 5 * time.Second
)

func (p *parser) health(n *yaml.Node, s *jobs.Spec) {
	var h mesos.HealthCheck
	var path, command, port string
	tcp := ""
	where := p.mapping(n, "health", []field{
		{"http", p.text("health.http", &path)},
		{"tcp", p.text("health.tcp", &tcp)},
		{"command", p.text("health.command", &command)},
		{"port", p.text("health.port", &port)},
		{"every", p.span("health.every", &h.Interval)},
		{"delay", p.spanOrNone("health.delay", &h.Delay)},
		{"timeout", p.span("health.timeout", &h.Timeout)},
		{"grace", p.spanOrNone("health.grace", &h.Grace)},
		{"fail_after", p.number("health.fail_after", 1, 1_000_000, &h.Failures)},
	})
	kinds := 0
	for key, kind := range map[string]mesos.HealthKind{"http": mesos.HealthHTTP, "tcp": mesos.HealthTCP, "command": mesos.HealthCommand} {
		if where[key] != nil {
			h.Kind = kind
			kinds++
		}
	}
	if kinds != 1 && n.Kind == yaml.MappingNode {
		p.at(n, "write one of  http: /path,  tcp: PORT,  command: COMMAND", "health needs one way to ask")
	}
	switch h.Kind {
	case mesos.HealthHTTP:
		h.Path = path
	case mesos.HealthTCP:
		port = tcp
	case mesos.HealthCommand:
		h.Command = mesos.Command{Value: command, Shell: true}
	}
	h.Interval = cmp.Or(h.Interval, healthEvery)
	h.Delay = cmp.Or(h.Delay, min(h.Interval, healthDelay))
	h.Timeout = cmp.Or(h.Timeout, healthTimeout)
	s.Health, s.HealthPort = &h, port
}

func (p *parser) restart(n *yaml.Node, s *jobs.Spec) {
	r := &s.Restart
	p.mapping(n, "restart", []field{
		{"on", p.text("restart.on", &r.On)},
		{"backoff", func(n *yaml.Node) {
			from, to, ranged := strings.Cut(n.Value, "..")
			if !ranged {
				to = from
			}
			least, err1 := time.ParseDuration(strings.TrimSpace(from))
			most, err2 := time.ParseDuration(strings.TrimSpace(to))
			if n.Kind != yaml.ScalarNode || err1 != nil || err2 != nil || least <= 0 || most < least {
				p.at(n, "write 1s..1m", "restart.backoff is %s, must be the least and the most time to wait", kindOf(n))
				return
			}
			r.BackoffMin, r.BackoffMax = least, most
		}},
		{"give_up_after", p.number("restart.give_up_after", 0, 1_000_000, &r.GiveUpAfter)},
	})
}

func (p *parser) unreachable(n *yaml.Node, s *jobs.Spec) {
	words := strings.Fields(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode:
	case len(words) == 1 && words[0] == "keep":
		s.ReplaceAfter = 0
		return
	case len(words) == 3 && words[0] == "replace" && words[1] == "after":
		if d, err := time.ParseDuration(words[2]); err == nil && d > 0 {
			s.ReplaceAfter = d
			return
		}
	}
	p.at(n, "write  keep  or  replace after 30s", "on_unreachable is %s", kindOf(n))
}

func (p *parser) update(n *yaml.Node, s *jobs.Spec) {
	u := &s.Update
	p.mapping(n, "update", []field{
		{"parallel", p.number("update.parallel", 1, jobs.MaxCount, &u.Parallel)},
		{"healthy_after", p.span("update.healthy_after", &u.HealthyAfter)},
		{"deadline", p.span("update.deadline", &u.Deadline)},
		{"rollback", p.flag("update.rollback", func(b bool) { u.NoRollback = !b })},
	})
}
