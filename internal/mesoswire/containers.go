package mesoswire

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

// Fields of Mesos' messages that say how a container is to be run, and that nothing here does:
// it must not be run without them.
var (
	unsupportedContainer = map[protowire.Number]string{4: "hostname", 5: "mesos", 8: "linux_info", 9: "rlimit_info", 10: "tty_info"}
	unsupportedDocker    = map[protowire.Number]string{5: "parameters", 7: "volume_driver"}
	unsupportedVolume    = map[protowire.Number]string{4: "image"}
	unsupportedSource    = map[protowire.Number]string{3: "sandbox_path", 4: "secret"}
	unsupportedDriver    = map[protowire.Number]string{3: "driver_options"}
	unsupportedHostPath  = map[protowire.Number]string{2: "mount_propagation"}
	unsupportedNetwork   = map[protowire.Number]string{3: "groups", 4: "labels", 5: "ip_addresses", 7: "port_mappings"}
)

type (
	dockerInfo  = messages.ContainerInfo_DockerInfo
	portMapping = messages.ContainerInfo_DockerInfo_PortMapping
)

// networks are those that Mesos has a number for. All others are USER.
var networks = map[string]messages.ContainerInfo_DockerInfo_Network{
	"": messages.ContainerInfo_DockerInfo_BRIDGE, "bridge": messages.ContainerInfo_DockerInfo_BRIDGE,
	"host": messages.ContainerInfo_DockerInfo_HOST, "none": messages.ContainerInfo_DockerInfo_NONE,
}

// containerToWire always says which network it is: none is the bridge here, and the host's in Mesos.
func containerToWire(d *mesos.Docker) *messages.ContainerInfo {
	if d == nil {
		return nil
	}
	docker := &dockerInfo{Image: &d.Image, ForcePullImage: optional(d.ForcePull), Load: optional(d.Load), ReadOnly: optional(d.ReadOnly)}
	out := &messages.ContainerInfo{Type: messages.ContainerInfo_DOCKER.Enum(), Docker: docker}
	if network, ok := networks[d.Network]; ok {
		docker.Network = network.Enum()
	} else {
		docker.Network = messages.ContainerInfo_DockerInfo_USER.Enum()
		out.NetworkInfos = []*messages.NetworkInfo{{Name: &d.Network}}
	}
	for _, p := range d.Ports {
		docker.PortMappings = append(docker.PortMappings, &portMapping{HostPort: proto.Uint32(uint32(p.Host)),
			ContainerPort: proto.Uint32(uint32(p.Container)), Protocol: optional(p.Protocol)})
	}
	for i := range d.Mounts {
		out.Volumes = append(out.Volumes, mountToWire(&d.Mounts[i]))
	}
	return out
}

func mountToWire(m *mesos.Mount) *messages.Volume {
	out := &messages.Volume{Mode: messages.Volume_RW.Enum(), ContainerPath: &m.Target, HostPath: optional(m.Path), Temporary: optional(m.Temporary)}
	if m.ReadOnly {
		out.Mode = messages.Volume_RO.Enum()
	}
	if m.Volume != "" {
		out.Source = &messages.Volume_Source{Type: messages.Volume_Source_DOCKER_VOLUME.Enum(),
			DockerVolume: &messages.Volume_Source_DockerVolume{Name: &m.Volume}}
	}
	return out
}

// containerFromWire refuses what would be run otherwise than it says. Whether its names make sense is for mesos.Docker.Wrong.
func containerFromWire(m *messages.ContainerInfo) (*mesos.Docker, error) {
	if m == nil {
		return nil, nil
	}
	out := &mesos.Docker{}
	var wrong [5]error
	wrong[0] = refuseUnsupported(m.ProtoReflect().GetUnknown(), unsupportedContainer)
	switch {
	case m.Type == nil:
		wrong[1] = missing("type")
	case *m.Type != messages.ContainerInfo_DOCKER:
		wrong[1] = malformed("type", "is not DOCKER, which is all that is supported")
	case m.Docker == nil:
		wrong[1] = missing("docker")
	default:
		wrong[2] = in("docker", dockerFromWire(m.Docker, out))
		wrong[3] = networkFromWire(m, out)
		wrong[4] = mountsFromWire(m.Volumes, out)
	}
	if err := first(wrong[:]...); err != nil {
		return nil, in("container", err)
	}
	return out, nil
}

func dockerFromWire(m *dockerInfo, out *mesos.Docker) error {
	out.Image, out.ForcePull, out.Load, out.ReadOnly = m.GetImage(), m.GetForcePullImage(), m.GetLoad(), m.GetReadOnly()
	if err := first(present("image", out.Image), refuseUnsupported(m.ProtoReflect().GetUnknown(), unsupportedDocker)); err != nil {
		return err
	}
	if m.GetPrivileged() {
		return malformed("privileged", "is true, which no task may be")
	}
	for i, p := range m.PortMappings {
		var port mesos.PortMapping
		var wrong [2]error
		port.Host, wrong[0] = portFromWire("host_port", p.GetHostPort())
		port.Container, wrong[1] = portFromWire("container_port", p.GetContainerPort())
		if err := first(wrong[:]...); err != nil {
			return inList("port_mappings", i, err)
		}
		port.Protocol = p.GetProtocol()
		out.Ports = append(out.Ports, port)
	}
	return nil
}

func networkFromWire(m *messages.ContainerInfo, out *mesos.Docker) error {
	user := m.Docker.GetNetwork() == messages.ContainerInfo_DockerInfo_USER
	switch m.Docker.GetNetwork() {
	case messages.ContainerInfo_DockerInfo_HOST:
		out.Network = "host"
	case messages.ContainerInfo_DockerInfo_BRIDGE:
		out.Network = "bridge"
	case messages.ContainerInfo_DockerInfo_NONE:
		out.Network = "none"
	case messages.ContainerInfo_DockerInfo_USER:
	default:
		return malformed("docker.network", "is none of HOST, BRIDGE, NONE and USER")
	}
	switch {
	case !user && len(m.NetworkInfos) > 0:
		return malformed("network_infos", "are there, and the network is not USER")
	case user && len(m.NetworkInfos) != 1:
		return malformed("network_infos", "must be one with the network USER")
	case user:
		n := m.NetworkInfos[0]
		out.Network = n.GetName()
		return inList("network_infos", 0, first(present("name", out.Network), refuseUnsupported(n.ProtoReflect().GetUnknown(), unsupportedNetwork)))
	}
	return nil
}

func mountsFromWire(volumes []*messages.Volume, out *mesos.Docker) error {
	for i, v := range volumes {
		m, err := mountFromWire(v)
		if err != nil {
			return inList("volumes", i, err)
		}
		out.Mounts = append(out.Mounts, m)
	}
	return nil
}

func mountFromWire(v *messages.Volume) (mesos.Mount, error) {
	out := mesos.Mount{Target: v.GetContainerPath(), Path: v.GetHostPath(), Temporary: v.GetTemporary(), ReadOnly: v.GetMode() == messages.Volume_RO}
	if err := first(present("container_path", out.Target), refuseUnsupported(v.ProtoReflect().GetUnknown(), unsupportedVolume)); err != nil {
		return out, err
	}
	switch {
	case v.Mode == nil:
		return out, missing("mode")
	case *v.Mode != messages.Volume_RW && *v.Mode != messages.Volume_RO:
		return out, malformed("mode", "is neither RW nor RO")
	case v.Source != nil:
		return out, in("source", sourceFromWire(v.Source, &out))
	}
	return out, nil
}

func sourceFromWire(s *messages.Volume_Source, out *mesos.Mount) error {
	if err := refuseUnsupported(s.ProtoReflect().GetUnknown(), unsupportedSource); err != nil {
		return err
	}
	switch volume, path := s.DockerVolume, s.HostPath; {
	case s.GetType() == messages.Volume_Source_DOCKER_VOLUME && volume != nil && path == nil:
		out.Volume = volume.GetName()
		if volume.GetDriver() != "" && volume.GetDriver() != "local" {
			return malformed("docker_volume.driver", "is not local, which is all that is supported")
		}
		return in("docker_volume", first(present("name", out.Volume), refuseUnsupported(volume.ProtoReflect().GetUnknown(), unsupportedDriver)))
	case s.GetType() == messages.Volume_Source_HOST_PATH && path != nil && volume == nil && out.Path == "":
		out.Path = path.GetPath()
		return in("host_path", first(present("path", out.Path), refuseUnsupported(path.ProtoReflect().GetUnknown(), unsupportedHostPath)))
	}
	return malformed("type", "is not DOCKER_VOLUME or HOST_PATH, with the one that it says and no other")
}
