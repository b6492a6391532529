package jobs

import (
	"slices"
	"strings"

	"github.com/synod-go/synod/mesos"
)

// checkDocker looks at what makes the instances containers.
func (s *Spec) checkDocker(no func(field, format string, args ...any)) {
	d := s.Docker
	if d == nil {
		if s.Command.Value == "" {
			no("Command", "is missing: say what to run")
		}
		if slices.ContainsFunc(s.Ports, func(p Port) bool { return p.Container != 0 }) {
			no("Ports", "have the number in a container, and there is none: that is for runtime: docker")
		}
		return
	}
	if s.Command.Value == "" && (s.Command.Shell || len(s.Command.Arguments) > 0) {
		no("Command", "is empty: leave it out to run what the image says")
	}
	if len(d.Ports) > 0 {
		no("Docker", "has ports of its own: they are made of the job's")
		return
	}
	numbers := make([]uint16, len(s.Ports))
	for i, p := range s.Ports {
		if numbers[i] = uint16(i + 1); p.Container != 0 && d.Network == "host" {
			no("Ports", "have the number in the container, which with the network host is the agent's: leave container: out")
			return
		}
	}
	filled := s.docker(numbers)
	if wrong := filled.Wrong(); wrong != "" {
		no("Docker", "is wrong: %s", wrong)
	}
	for _, m := range d.Mounts {
		if strings.Contains(m.Target+m.Path+m.Volume, ":") {
			no("Docker", "has a colon in the mount at %.80q, which none may have", m.Target)
		}
	}
	if d.Load != "" && !slices.ContainsFunc(s.Command.URIs, func(u mesos.URI) bool { return u.File() == d.Load }) {
		no("Docker", "is to be loaded from %.80q, which is none of the files of fetch:", d.Load)
	}
	if d.Network == "none" && s.Health != nil && s.Health.Kind != mesos.HealthCommand {
		no("Health", "asks a port, and nothing is reached in the network none: ask by command:")
	}
}

// docker is how an instance with these ports of its agent is run, nil if not as a container.
func (s *Spec) docker(ports []uint16) *mesos.Docker {
	if s.Docker == nil {
		return nil
	}
	d := *s.Docker
	d.Ports = nil
	if d.Network == "host" {
		return &d
	}
	for n, p := range s.Ports {
		d.Ports = append(d.Ports, mesos.PortMapping{Host: ports[n], Container: p.inside(ports[n])})
	}
	return &d
}

// dockerOf is what instances of a template are as containers, nil if they are none or it is not known any more.
func (b *job) dockerOf(template uint64) *mesos.Docker {
	switch {
	case template == b.Template, template == 0:
		return b.Spec.Docker
	case template == b.PreviousTemplate && b.Previous != nil:
		return b.Previous.Docker
	}
	return nil
}

// inside is a port's number in the container, or where the command runs that is in none.
func (p *Port) inside(host uint16) uint16 {
	if p.Container != 0 {
		return p.Container
	}
	return host
}

// lacksDocker says of an agent that it cannot run the job's image.
const lacksDocker = "no Docker"
