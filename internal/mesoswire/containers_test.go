package mesoswire

import (
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

// unknown gives a message a field that is not declared here.
func unknown(m proto.Message, number protowire.Number) {
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), nil))
}

func TestAContainerIsRefusedWithTheFieldThatIsWrong(t *testing.T) {
	good := taskToWire(&mesos.TaskInfo{ID: "t", Agent: "a", Docker: &mesos.Docker{Image: "i", Network: "mine",
		Ports: []mesos.PortMapping{{Host: 31000, Container: 80}}, Mounts: []mesos.Mount{{Target: "/data", Volume: "v"}}}})
	var list []refusal[*messages.TaskInfo]
	no := func(field string, spoil func(c *messages.ContainerInfo)) {
		list = append(list, refusal[*messages.TaskInfo]{"container." + field, func(m *messages.TaskInfo) { spoil(m.Container) }})
	}
	no("type", func(c *messages.ContainerInfo) { c.Type = nil })
	no("type", func(c *messages.ContainerInfo) { c.Type = messages.ContainerInfo_MESOS.Enum() })
	no("docker", func(c *messages.ContainerInfo) { c.Docker = nil })
	no("docker.image", func(c *messages.ContainerInfo) { c.Docker.Image = nil })
	no("docker.privileged", func(c *messages.ContainerInfo) { c.Docker.Privileged = proto.Bool(true) })
	no("docker.network", func(c *messages.ContainerInfo) {
		c.Docker.Network = messages.ContainerInfo_DockerInfo_Network(9).Enum()
	})
	no("docker.network", func(c *messages.ContainerInfo) { // it must not be that of the host, which none is
		c.Docker.Network, c.NetworkInfos = messages.ContainerInfo_DockerInfo_Network(9).Enum(), nil
	})
	no("network_infos", func(c *messages.ContainerInfo) { c.Docker.Network = nil })
	no("network_infos", func(c *messages.ContainerInfo) { c.NetworkInfos = nil })
	no("network_infos", func(c *messages.ContainerInfo) { c.NetworkInfos = append(c.NetworkInfos, c.NetworkInfos[0]) })
	no("network_infos[0].name", func(c *messages.ContainerInfo) { c.NetworkInfos[0].Name = nil })
	no("docker.port_mappings[0].host_port", func(c *messages.ContainerInfo) { c.Docker.PortMappings[0].HostPort = nil })
	no("docker.port_mappings[0].container_port", func(c *messages.ContainerInfo) {
		c.Docker.PortMappings[0].ContainerPort = proto.Uint32(65536)
	})
	no("volumes[0].mode", func(c *messages.ContainerInfo) { c.Volumes[0].Mode = nil })
	no("volumes[0].mode", func(c *messages.ContainerInfo) { c.Volumes[0].Mode = messages.Volume_Mode(3).Enum() })
	no("volumes[0].container_path", func(c *messages.ContainerInfo) { c.Volumes[0].ContainerPath = nil })
	no("volumes[0].source.type", func(c *messages.ContainerInfo) { c.Volumes[0].Source.Type = nil })
	no("volumes[0].source.type", func(c *messages.ContainerInfo) {
		c.Volumes[0].Source.HostPath = &messages.Volume_Source_HostPath{Path: proto.String("/x")}
	})
	no("volumes[0].source.docker_volume.name", func(c *messages.ContainerInfo) { c.Volumes[0].Source.DockerVolume.Name = nil })
	no("volumes[0].source.docker_volume.driver", func(c *messages.ContainerInfo) {
		c.Volumes[0].Source.DockerVolume.Driver = proto.String("nfs")
	})
	for number, name := range unsupportedContainer {
		no(name, func(c *messages.ContainerInfo) { unknown(c, number) })
	}
	for number, name := range unsupportedDocker {
		no("docker."+name, func(c *messages.ContainerInfo) { unknown(c.Docker, number) })
	}
	for number, name := range unsupportedNetwork {
		no("network_infos[0]."+name, func(c *messages.ContainerInfo) { unknown(c.NetworkInfos[0], number) })
	}
	for number, name := range unsupportedVolume {
		no("volumes[0]."+name, func(c *messages.ContainerInfo) { unknown(c.Volumes[0], number) })
	}
	for number, name := range unsupportedSource {
		no("volumes[0].source."+name, func(c *messages.ContainerInfo) { unknown(c.Volumes[0].Source, number) })
	}
	for number, name := range unsupportedDriver {
		no("volumes[0].source.docker_volume."+name, func(c *messages.ContainerInfo) { unknown(c.Volumes[0].Source.DockerVolume, number) })
	}
	areRefused(t, good, list, func(b []byte) error { _, err := ParseTaskInfo(b); return err })
}

// What a framework written for Mesos says is understood as Mesos does.
func TestAContainerSaysWhatItSaysInMesos(t *testing.T) {
	m := taskToWire(&mesos.TaskInfo{ID: "t", Agent: "a"})
	m.Container = &messages.ContainerInfo{Type: messages.ContainerInfo_DOCKER.Enum(), Docker: &messages.ContainerInfo_DockerInfo{Image: proto.String("i"), Privileged: proto.Bool(false)},
		Volumes: []*messages.Volume{{Mode: messages.Volume_RO.Enum(), ContainerPath: proto.String("/x"),
			Source: &messages.Volume_Source{Type: messages.Volume_Source_HOST_PATH.Enum(), HostPath: &messages.Volume_Source_HostPath{Path: proto.String("/y")}}}}}
	got, err := taskFromWire(m)
	want := &mesos.Docker{Image: "i", Network: "host", Mounts: []mesos.Mount{{Target: "/x", Path: "/y", ReadOnly: true}}}
	if err != nil || !reflect.DeepEqual(got.Docker, want) {
		t.Errorf("no network is read as %+v, %v; want that of the host, as Mesos has it: %+v", got.Docker, err, want)
	}
	got, err = taskFromWire(taskToWire(&mesos.TaskInfo{ID: "t", Agent: "a", Docker: &mesos.Docker{Image: "i"}}))
	if err != nil || got.Docker.Network != "bridge" {
		t.Errorf("ours without a network came back as %+v, %v; want the bridge", got.Docker, err)
	}
}
