package jobfile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/mesos"
)

// dockerKeys are those that only a job with  runtime: docker  has.
var dockerKeys = []string{"image", "load", "pull", "network", "mounts", "read_only"}

// dockerFields read what a container is into d, which is the job's if its runtime is docker.
func (p *parser) dockerFields(runtime *string, d *mesos.Docker) []field {
	return []field{
		{"runtime", func(n *yaml.Node) {
			if p.text("runtime", runtime)(n); n.Kind == yaml.ScalarNode && n.Tag != "!!null" && *runtime != "docker" && *runtime != "process" {
				p.at(n, "write docker, or process, the default", "runtime is %s", kindOf(n))
			}
		}},
		{"image", p.dockerText("image", &d.Image, func(s string) mesos.Docker { return mesos.Docker{Image: s} })},
		{"load", p.dockerText("load", &d.Load, func(s string) mesos.Docker { return mesos.Docker{Image: "x", Load: s} })},
		{"pull", func(n *yaml.Node) {
			if n.Kind != yaml.ScalarNode || n.Value != "always" && n.Value != "missing" {
				p.at(n, "write always, or missing, the default", "pull is %s", kindOf(n))
			}
			d.ForcePull = n.Value == "always"
		}},
		{"network", p.dockerText("network", &d.Network, func(s string) mesos.Docker { return mesos.Docker{Image: "x", Network: s} })},
		{"mounts", p.texts("mounts", mesos.MaxDockerMounts, func(n *yaml.Node, text string) { p.mount(n, text, d) })},
		{"read_only", p.flag("read_only", func(b bool) { d.ReadOnly = b })},
	}
}

// dockerText reads a text that makes sense as a part of a container.
func (p *parser) dockerText(what string, to *string, of func(string) mesos.Docker) func(*yaml.Node) {
	return func(n *yaml.Node) {
		p.text(what, to)(n)
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			return
		}
		d := of(n.Value)
		if wrong := d.Wrong(); wrong != "" || n.Value == "" {
			p.at(n, "", "%s is %s, which is no name", what, kindOf(n))
		}
	}
}

const mountHint = `write "volume:/data", "/srv/x:/x:ro" or "tmpfs:/tmp"`

func (p *parser) mount(n *yaml.Node, text string, d *mesos.Docker) {
	parts := strings.Split(text, ":")
	if len(parts) == 3 && (parts[2] == "ro" || parts[2] == "rw") {
		parts = parts[:2]
	}
	if len(parts) != 2 {
		p.at(n, mountHint, "the mount %q is not understood", short(text))
		return
	}
	m := mesos.Mount{Target: parts[1], ReadOnly: strings.HasSuffix(text, ":ro")}
	switch from := parts[0]; {
	case from == "tmpfs":
		m.Temporary = true
	case strings.HasPrefix(from, "/"):
		m.Path = from
	default:
		m.Volume = from
	}
	if wrong := (&mesos.Docker{Image: "x", Mounts: []mesos.Mount{m}}).Wrong(); wrong != "" {
		p.at(n, mountHint, "the mount %q makes no sense: %s", short(text), wrong)
		return
	}
	d.Mounts = append(d.Mounts, m)
}

// docker says whether the job is a container, and what does not go together.
func (p *parser) docker(n *yaml.Node, where map[string]*yaml.Node, runtime string, d *mesos.Docker, s *jobs.Spec) {
	if runtime == "docker" {
		s.Docker = d
		if where["image"] == nil {
			p.at(n, "write  image: NAME", "the job has no image")
		}
		return
	}
	for _, key := range dockerKeys {
		if at := where[key]; at != nil {
			p.at(at, "write  runtime: docker", "%s is for jobs that run as containers", key)
		}
	}
}

// docker writes the keys of a container.
func (f *formatter) docker(d *mesos.Docker) {
	f.put("runtime", "docker")
	f.put("image", d.Image)
	f.some("load", d.Load, d.Load != "")
	f.some("pull", "always", d.ForcePull)
	f.some("network", d.Network, d.Network != "" && d.Network != "bridge")
	var mounts []string
	for _, m := range d.Mounts {
		text := m.Volume + m.Path
		if m.Temporary {
			text = "tmpfs"
		}
		text += ":" + m.Target
		if m.ReadOnly {
			text += ":ro"
		}
		mounts = append(mounts, text)
	}
	f.some("mounts", mounts, len(mounts) > 0)
	f.some("read_only", true, d.ReadOnly)
}
