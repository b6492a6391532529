package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	docker "github.com/moby/moby/client"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// dock is what a demo has of a Docker engine: one image, networks and containers. The label demoLabel says of each
// of them of which demo it is.
type dock struct {
	engine  *docker.Client
	id      string // of the demo; it begins all names, and is the name of the cluster
	version string
}

const (
	demoLabel = "synod.demo"
	// demoUser is who nodes and tasks are in their containers.
	demoUser = 65532
	// engineTime is how long an engine may take to say that it is there.
	engineTime = 3 * time.Second
)

// openDock connects to the engine, which has to run programs like this one.
func openDock(ctx context.Context, id string) (*dock, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return nil, noEngine(err)
	}
	version, err := engine.ServerVersion(ctx, docker.ServerVersionOptions{})
	if err != nil {
		engine.Close()
		return nil, noEngine(err)
	}
	if version.Os != "linux" || version.Arch != runtime.GOARCH {
		engine.Close()
		return nil, &api.Error{Code: api.CodeUsage, Message: "this program does not run in the Docker engine's containers",
			Why: fmt.Sprintf("it is for %s/%s, the engine has %s/%s", runtime.GOOS, runtime.GOARCH, version.Os, version.Arch)}
	}
	return &dock{engine: engine, id: id, version: version.Version}, nil
}

func noEngine(err error) error {
	return &api.Error{Code: api.CodeUsage, Message: "this demo needs a Docker engine, and none answers", Why: plain(err),
		Do: []string{"start Docker, or name its engine in DOCKER_HOST", "node demo   tells a story without containers"}}
}

func (k *dock) image() string             { return k.id + ":demo" }
func (k *dock) name(s string) string      { return k.id + "-" + s }
func (k *dock) labels() map[string]string { return map[string]string{demoLabel: k.id} }

// staticProgram reads this program's file, which has to run where there is no other file.
func staticProgram() ([]byte, error) {
	name, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(name)
	if err != nil {
		return nil, &api.Error{Code: api.CodeData, Message: "this program cannot read its own file", Why: plain(err)}
	}
	file, err := elf.NewFile(bytes.NewReader(program))
	why := ""
	if err != nil {
		why = "it is no program for Linux"
	} else if needed, _ := file.ImportedLibraries(); len(needed) > 0 { // a static one has no list of them
		why = "it is linked with " + strings.Join(needed, ", ") + ", and the demo's image holds nothing but this program"
	}
	if why == "" {
		return program, nil
	}
	return nil, &api.Error{Code: api.CodeUsage, Message: "this program cannot run in a container of its own", Why: why,
		Do: []string{"CGO_ENABLED=0 go run ./cmd/node demo docker", "make build && bin/node demo docker"}}
}

// fileTree writes a tar of directories and files: a name that ends in "/" is a directory that all may write.
func fileTree(w io.Writer, files map[string][]byte, mode int64, user int) error {
	tree := tar.NewWriter(w)
	for _, name := range sortedKeys(files) {
		h := &tar.Header{Name: name, Mode: mode, Size: int64(len(files[name])), Uid: user, Gid: user, Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o1777
		}
		if err := tree.WriteHeader(h); err != nil {
			return err
		}
		if _, err := tree.Write(files[name]); err != nil {
			return err
		}
	}
	return tree.Close()
}

// importImage makes an image of this program and of some empty directories.
func (k *dock) importImage(ctx context.Context) (bytes int, err error) {
	program, err := staticProgram()
	if err != nil {
		return 0, err
	}
	from, to := io.Pipe()
	defer from.Close()
	go func() {
		to.CloseWithError(fileTree(to, map[string][]byte{"node": program, "data/": nil, "tls/": nil, "ledgers/": nil, "tmp/": nil}, 0o755, demoUser))
	}()
	result, err := k.engine.ImageImport(ctx, docker.ImageImportSource{Source: from, SourceName: "-"}, k.image(), docker.ImageImportOptions{
		Changes: []string{`ENTRYPOINT ["/node"]`, fmt.Sprintf("USER %[1]d:%[1]d", demoUser), fmt.Sprintf("LABEL %s=%s", demoLabel, k.id)}})
	if err != nil {
		return 0, err
	}
	defer result.Close()
	return len(program), saidError(result)
}

// saidError reads what an engine says of its progress, in which an error may be.
func saidError(r io.Reader) error {
	for decoder := json.NewDecoder(r); ; {
		var said struct{ Error string }
		switch err := decoder.Decode(&said); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case said.Error != "":
			return errors.New(said.Error)
		}
	}
}

// addNetwork makes a network; one that is internal leads nowhere else.
func (k *dock) addNetwork(ctx context.Context, name string, internal bool) error {
	_, err := k.engine.NetworkCreate(ctx, k.name(name), docker.NetworkCreateOptions{Driver: "bridge", Internal: internal, Labels: k.labels()})
	return err
}

// addVolume makes a volume that is found by its label when it is to be removed.
func (k *dock) addVolume(ctx context.Context, name string) error {
	_, err := k.engine.VolumeCreate(ctx, docker.VolumeCreateOptions{Name: k.name(name), Labels: k.labels()})
	return err
}

// box is a container to be made, of the demo's image.
type box struct {
	name     string
	args     []string
	env      []string
	role     cluster.Role
	root     bool              // it runs as root, without any of its capabilities, so that the socket is its own
	volumes  map[string]string // names of volumes by where they are; "" is one of its own
	socket   bool              // the engine's socket is in it
	first    string            // its network, "" is none; it has its short name there, but for the door
	networks []string          // the others
	port     int               // of this machine, at which its port 4700 is
	input    bool              // it reads what is sent to it, and is removed when it ends
}

// make makes a container, and does not start it.
func (k *dock) make(ctx context.Context, b box) error {
	config := &container.Config{Image: k.image(), Cmd: b.args, Env: b.env, Labels: k.labels(),
		OpenStdin: b.input, StdinOnce: b.input, AttachStdin: b.input}
	host := &container.HostConfig{NetworkMode: "none", ReadonlyRootfs: true, AutoRemove: b.input,
		CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
		// Who is not on one of its networks is nowhere: nobody else is asked, which takes a second.
		DNS: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, DNSOptions: []string{"timeout:1", "attempts:1"}}
	if b.root {
		config.User = "0"
	}
	for target, volume := range b.volumes {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeVolume, Source: volume, Target: target})
	}
	if b.socket {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: k.socket(), Target: engineSocket})
	}
	networks := &network.NetworkingConfig{}
	if b.first != "" {
		host.NetworkMode = container.NetworkMode(k.name(b.first))
		networks.EndpointsConfig = map[string]*network.EndpointSettings{k.name(b.first): {}}
		if b.first != demoDoor {
			networks.EndpointsConfig[k.name(b.first)].Aliases = []string{b.name}
		}
	}
	if b.port != 0 {
		port := network.MustParsePort("4700/tcp")
		config.ExposedPorts = network.PortSet{port: {}}
		host.PortBindings = network.PortMap{port: {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: strconv.Itoa(b.port)}}}
	}
	_, err := k.engine.ContainerCreate(ctx, docker.ContainerCreateOptions{Config: config, HostConfig: host, NetworkingConfig: networks, Name: k.name(b.name)})
	if err != nil {
		return err
	}
	for _, to := range b.networks {
		if err := k.connect(ctx, b.name, to); err != nil {
			return err
		}
	}
	return nil
}

const engineSocket = "/var/run/docker.sock"

// socket is where the engine listens on its own machine.
func (k *dock) socket() string {
	if host, is := strings.CutPrefix(k.engine.DaemonHost(), "unix://"); is && runtime.GOOS == "linux" {
		return host
	}
	return engineSocket
}

// connect joins a container to a network, where it has its short name.
func (k *dock) connect(ctx context.Context, name, to string) error {
	_, err := k.engine.NetworkConnect(ctx, k.name(to), docker.NetworkConnectOptions{Container: k.name(name),
		EndpointConfig: &network.EndpointSettings{Aliases: []string{name}}})
	return err
}

// disconnect cuts a container off from a network.
func (k *dock) disconnect(ctx context.Context, name, from string) error {
	_, err := k.engine.NetworkDisconnect(ctx, k.name(from), docker.NetworkDisconnectOptions{Container: k.name(name), Force: true})
	return err
}

func (k *dock) start(ctx context.Context, name string) error {
	_, err := k.engine.ContainerStart(ctx, k.name(name), docker.ContainerStartOptions{})
	return err
}

// kill is docker kill, of a container by its whole name or id.
func (k *dock) kill(ctx context.Context, whole string) error {
	_, err := k.engine.ContainerKill(ctx, whole, docker.ContainerKillOptions{Signal: "SIGKILL"})
	return err
}

// put writes files into a directory of a container, which only that user may read.
func (k *dock) put(ctx context.Context, name, dir string, files map[string][]byte, user int) error {
	var tree bytes.Buffer
	if err := fileTree(&tree, files, 0o400, user); err != nil {
		return err
	}
	_, err := k.engine.CopyToContainer(ctx, k.name(name), docker.CopyToContainerOptions{DestinationPath: dir, Content: &tree})
	return err
}

// maxTree bounds what is read of a container's files.
const maxTree = 64 << 20

// get reads the files of a directory of a container, by their names in it.
func (k *dock) get(ctx context.Context, name, dir string) (map[string][]byte, error) {
	result, err := k.engine.CopyFromContainer(ctx, k.name(name), docker.CopyFromContainerOptions{SourcePath: dir})
	if err != nil {
		return nil, err
	}
	defer result.Content.Close()
	files, tree := map[string][]byte{}, tar.NewReader(io.LimitReader(result.Content, maxTree))
	for {
		h, err := tree.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if files[path.Base(h.Name)], err = io.ReadAll(tree); err != nil {
			return nil, err
		}
	}
}

// tasks are the ids of the containers of tasks by the names of the tasks; all of them, or those that run.
func (k *dock) tasks(ctx context.Context, all bool) (map[string]string, error) {
	list, err := k.engine.ContainerList(ctx, docker.ContainerListOptions{All: all, Filters: docker.Filters{}.Add("label", "synod.cluster="+k.id)})
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, c := range list.Items {
		ids[c.Labels["synod.task"]] = c.ID
	}
	return ids, nil
}

// tell writes what the containers of the demo have said last.
func (k *dock) tell(ctx context.Context, names []string, w io.Writer) {
	for _, name := range names {
		logs, err := k.engine.ContainerLogs(ctx, k.name(name), docker.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "8"})
		if err != nil {
			continue // it was not made yet
		}
		_, _ = stdcopy.StdCopy(w, w, io.LimitReader(logs, keptLog)) // what can be had of it
		logs.Close()
	}
}
