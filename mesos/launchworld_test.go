package mesos

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	launchSeeds = flag.Uint64("launch.seeds", 60, "how many worlds of kills TestKillsAtEveryStepOfALaunch tries")
	launchFirst = flag.Uint64("launch.first", 0, "the first of them")
	launchHunt  = flag.Duration("launch.hunt", 0, "run worlds of kills until a rule is broken, at most for so long")
)

// launchPoints are places of the launch protocol: how often one was come to, and how often
// it was died at.
type launchPoints struct {
	come, killed map[string]int
	mild         int      // how much rarer kills are in this world
	past         []func() // the last deliveries of a Launch, which come again at any time
}

// killsAt reports whether whoever comes to this place of the protocol dies here: the more
// often the rarer the place is.
func (w *cluster) killsAt(place string) bool {
	if w.points == nil || w.calm {
		return false
	}
	p := w.points
	p.come[place]++
	among := 150 * p.mild
	if at := slices.Index(launchPlaces, place); at >= 0 && (uint64(at)+w.seed)%4 == 0 {
		among = min(5+p.come[place]/3, 200) // one of those at which it is dangerous in this world
	}
	if w.rand.IntN(among) != 0 {
		return false
	}
	p.killed[place]++
	w.counts["kills"]++
	return true
}

// newLaunchWorld is a cluster in which everything is killed at every step.
func newLaunchWorld(seed uint64) *cluster {
	w := newCluster(seed, 0)
	w.points = &launchPoints{come: map[string]int{}, killed: map[string]int{}, mild: 1 << (seed % 4)}
	agents := 3
	if seed%20 == 19 {
		agents = 5 + w.rand.IntN(46)
	}
	for n := range agents {
		a := &clusterAgent{w: w, info: machine(n), containers: map[ContainerID]*clusterContainer{}}
		w.agents = append(w.agents, a)
		newLaunchHost(a).start(n)
	}
	return w
}

// runLaunchWorld is bad for a while, and then calm. What it finds is in the failure.
func runLaunchWorld(seed uint64) *cluster {
	w := newLaunchWorld(seed)
	jobs := 6
	f := newClusterFramework(w, FrameworkInfo{Name: "f", FailoverTimeout: 24 * time.Hour}, jobs)
	g := newClusterFramework(w, FrameworkInfo{Name: "g", FailoverTimeout: time.Minute}, 3)
	for range 6000 + 800*len(w.agents) {
		if w.failure != "" {
			return w
		}
		launchBlow(w, f, g)
		w.settle()
	}
	calm(w, f, g)
	checkEnds(w, f)
	return w
}

// launchBlow is one thing that happens.
func launchBlow(w *cluster, f, g *clusterFramework) {
	n := w.rand.IntN(len(w.agents))
	a := w.agents[n]
	switch roll := w.rand.IntN(100); {
	case roll < 8:
		w.pass(time.Duration(w.rand.IntN(200)) * time.Millisecond)
	case w.chance(1) && w.chance(20):
		w.pass(time.Duration(w.rand.IntN(20)) * time.Second)
	case roll < 34:
		for range 1 + w.rand.IntN(4+len(w.flying)/4) {
			if len(w.flying) > 0 {
				w.deliver()
			}
		}
	case roll < 44:
		moveMasters(w)
	case roll < 49:
		for _, a := range w.agents {
			if m := w.masters; len(m) > 0 && a.fine.up {
				a.connect(m[max(0, len(m)-1-w.rand.IntN(2))])
			}
		}
	case roll < 68:
		act(w, f, g)
	case roll < 82:
		if h := a.fine; len(h.order) > 0 && !a.dead {
			h.proceed(h.order[max(0, len(h.order)-1-w.rand.IntN(6))])
		}
	case roll < 92:
		a.fine.run(1 + w.rand.IntN(3))
	case roll < 97:
		for n, a := range w.agents {
			if !a.fine.up && !a.dead && w.rand.IntN(2) == 0 {
				a.fine.start(n)
			}
		}
	default:
		if w.rand.IntN(3*w.points.mild) == 0 {
			launchMischief(w, a)
		} else {
			a.cut = a.cut && w.chance(80)
		}
	}
	if w.rand.IntN(25) == 0 && len(f.jobs) < 200*len(w.agents) {
		f.add() // what was not launched for all the deaths is replaced
	}
	if len(w.masters) == 0 && w.rand.IntN(3) == 0 {
		w.elect()
	}
}

// launchMischief is what happens wherever the protocol is.
func launchMischief(w *cluster, a *clusterAgent) {
	h := a.fine
	died := func(what string) {
		w.points.killed[what]++
		w.counts["kills"]++
	}
	if n := len(w.points.past); n > 0 {
		w.flying = append(w.flying, clusterMessage{to: w.points.past[w.rand.IntN(n)]})
	}
	switch w.rand.IntN(12) {
	case 0:
		a.cut = true
	case 1, 2, 3:
		a.cut = false
	case 4:
		a.unlink()
	case 5:
		if h.up {
			died("agent, wherever it is")
			h.kill()
		}
	case 6:
		if len(w.masters) > 0 {
			died("master, wherever it is")
			w.kill(w.masters[0])
		}
	case 7:
		if len(w.masters) < 3 {
			w.elect()
		}
	case 8:
		w.pass(time.Duration(w.rand.IntN(100)) * time.Second)
	case 9:
		if w.chance(30) && !a.dead {
			died("machine")
			h.reboot()
		}
	case 10:
		for _, s := range h.order {
			if s.alive && s.exit == nil && w.chance(20) && !a.dead {
				died("shim, wherever it is")
				h.orphan(s)
			}
		}
	}
}

// checkEnds looks whether what the scheduler knows of each task is what became of it.
func checkEnds(w *cluster, f *clusterFramework) {
	if w.failure != "" {
		return
	}
	shims := map[TaskKey]*launchShim{}
	for _, a := range w.agents {
		for _, s := range a.fine.order {
			if s.key.Task != "" {
				shims[s.key] = s
			}
		}
	}
	for _, j := range f.jobs {
		key := TaskKey{f.info.ID, j.id}
		s := shims[key]
		switch {
		case j.agent == "" || !j.state.Terminal():
		case s == nil || s.executions == 0:
			if j.state == Finished {
				w.fail("%v is FINISHED, and was never executed", key)
			}
		case s.exit != nil && s.exit.Known && s.exit.Signal == 0 && s.exit.Code == 0 && j.state != Finished && j.state != Killed:
			w.fail("%v has ended well, and is %v to its scheduler", key, j.state)
		case j.state != Finished && j.state != Failed && j.state != Killed:
			w.fail("%v was executed, and is %v to its scheduler", key, j.state)
		}
		w.counts["ends"]++
	}
}

// Sections 5.2 and 7.1: no container twice, each task one end and the true one, updates
// once acknowledged never again, whatever is killed at whichever step.
func TestKillsAtEveryStepOfALaunch(t *testing.T) {
	counts, come, killed := map[string]int{}, map[string]int{}, map[string]int{}
	seeds := *launchSeeds
	if testing.Short() {
		seeds = min(seeds, 10)
	}
	failures := 0
	for seed := *launchFirst; seed < *launchFirst+seeds && failures < 5; seed++ {
		w := runLaunchWorld(seed)
		if w.failure != "" {
			t.Errorf("%s (go test ./mesos -run KillsAtEvery -launch.first %d -launch.seeds 1)", w.failure, seed)
			failures++
		}
		for k, n := range w.counts {
			counts[k] += n
		}
		for k, n := range w.points.come {
			come[k] += n
		}
		for k, n := range w.points.killed {
			killed[k] += n
		}
	}
	var table strings.Builder
	places := 0
	for _, place := range slices.Sorted(maps.Keys(come)) {
		places++
		fmt.Fprintf(&table, "\n%8d of %8d  %s", killed[place], come[place], place)
	}
	missed := slices.DeleteFunc(slices.Clone(launchPlaces), func(place string) bool { return killed[place] > 0 })
	if seeds >= 60 && len(missed) > len(launchPlaces)/8 || seeds >= 500 && len(missed) > 0 {
		t.Errorf("nobody was killed at: %q", missed)
	}
	t.Logf("%d kills at %d places in %d worlds: %v%s", counts["kills"], places, seeds, counts, table.String())
}

// launchPlaces are the arrows of the launch protocol, at each of which somebody has to die.
var launchPlaces = []string{
	"master before Launch", "master after Launch", "master before commit", "master before Registered", "master before Acknowledge",
	"master before Kill", "master before UpdateEvent", "master before OffersEvent",
	"scheduler before SubscribedEvent", "scheduler before OffersEvent", "scheduler before UpdateEvent",
	"scheduler after UpdateEvent", "scheduler after AcceptCall", "scheduler before AcceptCall", "scheduler before AcknowledgeCall",
	"agent before save agent", "agent before save term", "agent before save framework", "agent before save task",
	"agent before save update RUNNING", "agent before save update FINISHED", "agent before save update FAILED",
	"agent before save update DROPPED", "agent before save update KILLING", "agent before save update KILLED",
	"agent before save acknowledged", "agent before start", "agent after start", "agent before bar", "agent after bar", "agent before stop",
	"agent before send Register", "agent before send StatusUpdate RUNNING", "agent before send StatusUpdate FINISHED",
	"agent after send StatusUpdate FINISHED", "agent before forget", "agent before it compacts",
	"shim before its lock", "shim before it writes started", "shim before it starts the task", "shim while its task runs",
	"shim before it writes the exit", "shim after it has written the exit", "machine",
}

// TestLaunchHunt is the child of TestLaunchMutants: it runs with a planted bug.
func TestLaunchHunt(t *testing.T) {
	if *launchHunt == 0 {
		t.Skip("hunts only with -launch.hunt")
	}
	kills := 0
	for seed, end := uint64(0), time.Now().Add(*launchHunt); time.Now().Before(end); seed++ {
		w, broken := huntLaunch(seed)
		kills += w.counts["kills"]
		if broken != "" {
			text, _, _ := strings.Cut(broken, "\n")
			fmt.Printf("CAUGHT after %d kills: %.300s\n", kills, text)
			return
		}
	}
	fmt.Printf("nothing found in %d kills\n", kills)
}

// huntLaunch runs a world; a panic of a core is found too.
func huntLaunch(seed uint64) (w *cluster, broken string) {
	defer func() {
		if v := recover(); v != nil {
			w, broken = &cluster{counts: map[string]int{}}, fmt.Sprintf("seed %d: panic: %v", seed, v)
		}
	}()
	w = runLaunchWorld(seed)
	return w, w.failure
}
