package mesos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// DockerAttribute is the attribute of an agent on which Docker tasks can run. Its value is
// the version of the engine. An agent without an engine does not have it.
const DockerAttribute = "docker"

// Docker says that a task is a container of a Docker engine, of an image. The task's Command
// is then what runs in it: with Shell /bin/sh -c of the image in place of its entry point,
// otherwise Value and Arguments in place of its arguments; empty is what the image says.
type Docker struct {
	// Image is a name that the engine has or can pull: "hello:1", "registry.example/app@sha256:...".
	Image string
	// Load is the name of a file among what was fetched, as docker save makes them. It is
	// loaded if the engine does not have the image. "" is none.
	Load string
	// ForcePull asks the registry also if the engine has the image.
	ForcePull bool
	// Network is "bridge" (the default), "host", "none", or the name of a network that is
	// there, without colons. The agent says which are allowed.
	Network string
	// Ports are those of the task's resources that are passed on to the container. With
	// "host" and "none" there are none.
	Ports []PortMapping
	// Mounts are what the container sees of outside.
	Mounts []Mount
	// ReadOnly makes the image's files so.
	ReadOnly bool
}

// PortMapping passes a port of the agent's machine on to one of the container.
type PortMapping struct {
	Host, Container uint16
	// Protocol is "tcp" (the default) or "udp".
	Protocol string
}

// Mount is a directory or file of outside, in a container. One of Volume, Path and Temporary is set.
type Mount struct {
	// Target is the absolute path in the container.
	Target string
	// Volume is the name of one of the engine's, which is made if it is not there and
	// outlives the task.
	Volume string
	// Path is absolute, on the engine's machine. The agent says which are allowed.
	Path string
	// Temporary is in memory, and gone with the container.
	Temporary bool
	ReadOnly  bool
}

// Bounds of a Docker.
const (
	MaxDockerMounts = 64
	MaxDockerPorts  = 100
)

// Wrong says what is wrong with a description, "" if nothing is. Of nil nothing is. What an
// agent allows is for the agent to say.
func (d *Docker) Wrong() string {
	switch {
	case d == nil:
		return ""
	case !printable(d.Image):
		return fmt.Sprintf("the image %.80q is no name", d.Image)
	case d.Load != "" && (!printable(d.Load) || strings.Contains(d.Load, "..")):
		return fmt.Sprintf("the file %.80q to load is no name", d.Load)
	case d.Network != "" && CheckName(d.Network) != nil, strings.Contains(d.Network, ":"): // "container:X" is a part of another container
		return fmt.Sprintf("the network %.80q is no name", d.Network)
	case len(d.Mounts) > MaxDockerMounts:
		return fmt.Sprintf("there are %d mounts, at most %d may be", len(d.Mounts), MaxDockerMounts)
	case len(d.Ports) > MaxDockerPorts:
		return fmt.Sprintf("there are %d ports, at most %d may be", len(d.Ports), MaxDockerPorts)
	case len(d.Ports) > 0 && (d.Network == "host" || d.Network == "none"):
		return "ports are not passed on in the network " + d.Network
	}
	for i, p := range d.Ports {
		if slices.ContainsFunc(d.Ports[:i], func(o PortMapping) bool {
			return o.Host == p.Host && cmp.Or(o.Protocol, "tcp") == cmp.Or(p.Protocol, "tcp")
		}) {
			return fmt.Sprintf("the port %d is passed on twice", p.Host)
		}
		if p.Host == 0 || p.Container == 0 || p.Protocol != "" && p.Protocol != "tcp" && p.Protocol != "udp" {
			return fmt.Sprintf("the port %d to %d of %.10q makes no sense", p.Host, p.Container, p.Protocol)
		}
	}
	targets := map[string]bool{}
	for _, m := range d.Mounts {
		if wrong := m.wrong(); wrong != "" {
			return wrong
		}
		if targets[m.Target] {
			return fmt.Sprintf("two mounts are at %.80q", m.Target)
		}
		targets[m.Target] = true
	}
	return ""
}

// beyond says which of the machine's ports are passed on that are none of the task's resources, "" if none are.
func (d *Docker) beyond(r Resources) string {
	if d == nil {
		return ""
	}
	for _, p := range d.Ports {
		if !slices.ContainsFunc(r.all, func(x Resource) bool {
			return x.Name == "ports" && slices.ContainsFunc(x.Ranges, func(r Range) bool { return r.Begin <= uint64(p.Host) && uint64(p.Host) <= r.End })
		}) {
			return fmt.Sprintf("the port %d is passed on and is none of its resources", p.Host)
		}
	}
	return ""
}

func (m *Mount) wrong() string {
	kinds := 0
	for _, is := range []bool{m.Volume != "", m.Path != "", m.Temporary} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return fmt.Sprintf("the mount at %.80q needs one of a volume, a path and being temporary", m.Target)
	case !absolute(m.Target) || m.Target == "/":
		return fmt.Sprintf("a mount is at %.80q, must be at an absolute path", m.Target)
	case m.Volume != "" && CheckName(m.Volume) != nil:
		return fmt.Sprintf("the volume %.80q is no name", m.Volume)
	case m.Path != "" && !absolute(m.Path):
		return fmt.Sprintf("the path %.80q of a mount is not absolute, or not clean", m.Path)
	}
	return ""
}

// absolute reports whether a path is, and says the same in no shorter way.
func absolute(path string) bool {
	if !printable(path) || path[0] != '/' || len(path) > 1 && strings.HasSuffix(path, "/") {
		return false
	}
	for part := range strings.SplitSeq(path[1:], "/") {
		if len(path) > 1 && (part == "" || part == "." || part == "..") {
			return false
		}
	}
	return true
}

// printable reports whether a text is 1 to 4,096 bytes of printable ASCII without spaces.
func printable(text string) bool {
	if text == "" || len(text) > 4096 {
		return false
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
