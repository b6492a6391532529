package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func find(t *testing.T, list []Finding, name string) Finding {
	t.Helper()
	for _, f := range list {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("nothing was found about %q", name)
	return Finding{}
}

// freePorts are three that were free a moment ago.
func freePorts(t *testing.T) (ports [3]int) {
	t.Helper()
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

func TestAMachineThatIsWellHasNoFailure(t *testing.T) {
	t.Setenv("HTTP_PROXY", "")
	m := Machine{Dir: filepath.Join(t.TempDir(), "not", "there", "yet"), Listen: "127.0.0.1", Ports: freePorts(t)}
	list := Look(t.Context(), m)
	if len(list) != len(probes) {
		t.Fatalf("%d findings of %d probes", len(list), len(probes))
	}
	for _, f := range list {
		if f.Name == "docker" || f.Name == "open files" || f.Name == "cgroups" || f.Name == "disk space" || f.Name == "data directory" {
			continue // as this machine happens to be
		}
		if f.State == Fail {
			t.Errorf("%s: %s", f.Name, f.Value)
		}
	}
	for _, f := range list {
		if f.Value == "" || f.Why == "" || f.State != OK && f.Do == "" {
			t.Errorf("%+v: want a value, why it matters, and what to do unless it is well", f)
		}
	}
	if _, err := os.Stat(filepath.Dir(m.Dir)); err == nil {
		t.Error("the data directory was made")
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	m := Machine{Dir: t.TempDir(), Listen: "127.0.0.1", Ports: freePorts(t)}
	gossip := "127.0.0.1:" + strconv.Itoa(m.Ports[2])
	byTCP, err1 := net.Listen("tcp", gossip)
	byUDP, err2 := net.ListenPacket("udp", gossip)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer byTCP.Close()
	defer byUDP.Close()
	for _, name := range []string{"ports", "gossip by UDP"} {
		if f := find(t, Look(t.Context(), m), name); f.State != Fail || !strings.Contains(f.Value, strconv.Itoa(m.Ports[2])+" is taken") || !strings.Contains(f.Do, "--gossip-port") {
			t.Errorf("%s: %+v, want a failure that names port %d and --gossip-port", name, f, m.Ports[2])
		}
	}
	m.Running = "n1"
	for _, name := range []string{"ports", "gossip by UDP"} {
		if f := find(t, Look(t.Context(), m), name); f.State != OK {
			t.Errorf("%s: %+v, though the node itself has them", name, f)
		}
	}
}

// The probes run at once: none takes another for another process.
func TestProbesOfPortsDoNotMeet(t *testing.T) {
	m := Machine{Listen: "127.0.0.1", Ports: freePorts(t)}
	for range 500 {
		found := make(chan Finding, 2)
		for _, look := range []func(context.Context, Machine) Finding{ports, datagrams} {
			go func() { found <- look(t.Context(), m) }()
		}
		for range 2 {
			if f := <-found; f.State != OK {
				t.Fatalf("%+v", f)
			}
		}
	}
}

func TestADataDirectoryThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/proc"} {
		if f := find(t, Look(t.Context(), Machine{Dir: dir, Listen: "127.0.0.1"}), "data directory"); f.State != Fail {
			t.Errorf("%s: %+v, want a failure", dir, f)
		}
	}
	dir := t.TempDir()
	if f := find(t, Look(t.Context(), Machine{Dir: dir, Listen: "127.0.0.1"}), "data directory"); !strings.Contains(f.Value, "p99") {
		t.Errorf("%+v, want how long a flush takes", f)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestAProbeThatHangsIsAFinding(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if f := (probe{}).await(ctx, make(chan Finding)); f.State != Fail || f.Do == "" {
		t.Errorf("%+v, want a failure", f)
	}
	if took := time.Since(began); took > 10*patience {
		t.Errorf("it was waited for %v", took)
	}
}

func TestWhatAProxyWouldSwallow(t *testing.T) {
	for name, test := range map[string]struct {
		proxy, spared string
		want          State
		missing       string
	}{
		"none":     {"", "", OK, ""},
		"all":      {"http://proxy:3128", "", Warn, "127.0.0.1,localhost,10.0.0.7"},
		"loopback": {"http://proxy:3128", "localhost, 127.0.0.1", Warn, "10.0.0.7"},
		"network":  {"http://proxy:3128", "localhost,127.0.0.0/8,10.0.0.0/24", OK, ""},
		"star":     {"http://proxy:3128", "*", OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range proxyVariables {
				t.Setenv(variable, "")
			}
			t.Setenv("HTTP_PROXY", test.proxy)
			t.Setenv("NO_PROXY", test.spared)
			t.Setenv("no_proxy", "")
			f := proxies(t.Context(), Machine{Peers: []string{"10.0.0.7:4700"}})
			if f.State != test.want || !strings.HasSuffix(f.Do, test.missing) {
				t.Errorf("%+v, want %s and %q", f, test.want, test.missing)
			}
		})
	}
}

func TestANameThatLeadsOthersToThemselves(t *testing.T) {
	for name, test := range map[string]struct {
		machine Machine
		want    State
	}{
		"loopback":  {Machine{Listen: "127.0.0.1"}, OK},
		"an IP":     {Machine{Listen: "0.0.0.0", Advertise: "10.0.0.1"}, OK},
		"localhost": {Machine{Listen: "0.0.0.0", Advertise: "localhost"}, Fail},
		"no name":   {Machine{Listen: "127.0.0.1", Peers: []string{"no.such.host.invalid:4702"}}, Fail},
	} {
		if f := names(t.Context(), test.machine); f.State != test.want {
			t.Errorf("%s: %+v, want %s", name, f, test.want)
		}
	}
}
