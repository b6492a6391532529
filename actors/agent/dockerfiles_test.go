package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synod-go/synod/internal/docker"
)

// A container of before is looked for in its engine and by its name, whatever the agent is told: what is looked for elsewhere
// would be taken to have been removed.
func TestAContainerThatMayRunKeepsItsEngineAndItsCluster(t *testing.T) {
	work := t.TempDir()
	before := dockerHome{Owner: "o", Cluster: "before", Host: "unix://" + filepath.Join(work, "none"), Version: "1.2"}
	if err := writeDockerHome(work, before); err != nil {
		t.Fatal(err)
	}
	open := func(cluster, host string) (string, error) {
		e, err := OpenDocker(t.Context(), work, docker.Config{Cluster: cluster, Host: host})
		if err != nil {
			return "", err
		}
		defer e.Close()
		if e.Away() == nil || e.Version() != "1.2" {
			t.Errorf("it is %v, of version %q", e.Away(), e.Version())
		}
		return strings.TrimSuffix(e.Name("x"), "-x"), nil
	}
	p := pathsOf(work, number(1))
	if err := os.MkdirAll(p.sandbox(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := p.write(dockerFile, nil); err != nil || !containersMayRun(work) {
		t.Fatal(err, containersMayRun(work))
	}
	for _, more := range []string{startedFile, barFile} {
		if cluster, err := open("after", before.Host); err != nil || cluster != "before" {
			t.Errorf("it is looked for as one of %q, %v", cluster, err)
		}
		if _, err := open("before", before.Host+"2"); !errors.As(err, new(*EngineError)) {
			t.Errorf("another engine: %v", err)
		}
		touch(t, p.run(), more)
	}
	touch(t, p.run(), exitFile)
	if cluster, err := open("before", before.Host); err != nil || cluster != "before" {
		t.Errorf("the same engine without containers: %q, %v", cluster, err)
	}
	// Nothing is known of what has not been used before.
	for _, c := range []struct{ cluster, host string }{{"after", before.Host}, {"before", before.Host + "2"}} {
		if _, err := open(c.cluster, c.host); !errors.Is(err, docker.ErrNoEngine) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
