package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/moby/moby/client"
)

// oldestAPI is the oldest version of the engine's interface that is spoken.
const oldestAPI = 40 // 1.40

// engine asks the Docker engine for its version and its images. Most machines need none.
func engine(ctx context.Context, m Machine) Finding {
	host := cmp.Or(m.Docker, os.Getenv(client.EnvOverrideHost), client.DefaultDockerHost)
	c, err := client.New(client.WithHost(host))
	if err != nil {
		return Finding{State: Fail, Value: host + ": " + reason(err), Do: "DOCKER_HOST=unix:///var/run/docker.sock"}
	}
	defer c.Close()
	version, err := c.ServerVersion(ctx, client.ServerVersionOptions{})
	path, socket := strings.CutPrefix(host, "unix://")
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission) || socket && denied(path):
		return Finding{State: Warn, Value: host + " is not for this user", Do: "usermod -aG docker USER, or let tasks be processes:  node agent --docker off"}
	case socket && absent(path):
		return Finding{State: OK, Value: "none here: tasks are processes"}
	default:
		return Finding{State: Warn, Value: host + " does not answer: " + reason(err), Do: "systemctl start docker"}
	}
	value := fmt.Sprintf("%s, API %s", version.Version, version.APIVersion)
	if _, minor, _ := strings.Cut(version.APIVersion, "."); older(minor) {
		return Finding{State: Fail, Value: value, Do: "API 1.40 is the oldest that is spoken: Docker 19.03 has it"}
	}
	if _, err := c.Info(ctx, client.InfoOptions{}); err != nil { // for which it asks all its parts
		return Finding{State: Warn, Value: value + ", its state is not told: " + reason(err), Do: "docker info, and if that hangs:  systemctl restart docker"}
	}
	images, err := c.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return Finding{State: Warn, Value: value + ", its images are not told: " + reason(err), Do: "docker images"}
	}
	return Finding{State: OK, Value: fmt.Sprintf("%s, images: %d", value, len(images.Items))}
}

func older(minor string) bool {
	n, err := strconv.Atoi(minor)
	return err == nil && n < oldestAPI
}

func absent(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// denied reports whether a socket is there that this process may not write to.
func denied(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		f.Close()
	}
	return errors.Is(err, fs.ErrPermission)
}
