package chaos

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/recipes"
)

// schedulerEnvironment makes a process of this program a scheduler.
const schedulerEnvironment = "SYNOD_CHAOS_SCHEDULER"

// SchedulerConfig says what a scheduler does. All of one framework share the directory.
type SchedulerConfig struct {
	Name      string
	Addresses []string
	Dir       string // has the journal, and the units' ledgers below Ledgers
	Ledgers   string
	Chore     string // the program of the tasks
	Seed      uint64
	Units     int // at most
	Least     int // as many must have been done at the end
	Longest   time.Duration
	Width     int // tasks at once
	// PerTick is how many units begin at most in Tick, which defaults to a tenth of a second.
	PerTick int
	Tick    time.Duration
	// Silence is after how long without an event it subscribes anew, at the next address; 0: never.
	Silence time.Duration
	// TLS is a directory with ca.pem, and a certificate and key named operator; "": plain text.
	TLS string
	// Image is that of every second unit's task, with the ledgers in the volume of that name; "": all
	// are processes.
	Image, Volume string
}

// Where schedulers meet.
const (
	schedulerElection = "tasks/scheduler"
	journalName       = "journal.ndjson"
	// enoughName is a file whose existence says that no more units are to begin.
	enoughName = "enough"
)

// SchedulerMain turns this process into a scheduler if it was started as one, and returns
// at once otherwise. It stands by until it is elected.
func SchedulerMain() {
	text, ok := os.LookupEnv(schedulerEnvironment)
	if !ok {
		return
	}
	var config SchedulerConfig
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		fatalf("%s: %v", schedulerEnvironment, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := runScheduler(ctx, config); err != nil && ctx.Err() == nil {
		fatalf("scheduler %s: %v", config.Name, err)
	}
	os.Exit(0)
}

// taskScheduler runs each unit once.
type taskScheduler struct {
	config  SchedulerConfig
	client  *http.Client
	journal *Journal
	book    *taskBook
	held    *recipes.Held
	stream  *taskStream
	offers  []mesos.OfferInfo
	budget  int
}

func runScheduler(ctx context.Context, config SchedulerConfig) error {
	s := &taskScheduler{config: config, client: &http.Client{}}
	var secret *tls.Config
	if config.TLS != "" {
		var err error
		if secret, err = (&Certificates{dir: config.TLS}).Config("operator"); err != nil {
			return err
		}
		s.client.Transport = secured{&http.Transport{TLSClientConfig: secret}}
	}
	client, err := api.NewClient(api.ClientConfig{Addrs: config.Addresses, TLS: secret})
	if err != nil {
		return err
	}
	if s.journal, err = OpenJournal(filepath.Join(config.Dir, journalName), config.Name); err != nil {
		return err
	}
	session, err := openPatiently(ctx, client)
	if err != nil {
		return err
	}
	if s.held, err = recipes.Campaign(ctx, session, schedulerElection, []byte(config.Name)); err != nil {
		return err
	}
	fmt.Printf("%v leads with %d\n", Now(), s.held.Token())
	for n := 0; ctx.Err() == nil; n++ {
		if err := s.lead(ctx, config.Addresses[n%len(config.Addresses)]); err != nil {
			fmt.Printf("%v %v\n", Now(), err)
		}
		if err := s.held.Err(); err != nil {
			return fmt.Errorf("deposed: %w", err)
		}
		_ = hold(ctx, 50*time.Millisecond)
	}
	end, cancel := context.WithTimeout(context.Background(), lateCall)
	defer cancel()
	return session.Close(end)
}

// openPatiently opens a session, however long the cluster has no leader.
func openPatiently(ctx context.Context, client *api.Client) (*api.Session, error) {
	for {
		session, err := client.OpenSession(ctx, api.SessionOptions{Timeout: sessionTimeout, Linger: sessionLinger})
		if err == nil || ctx.Err() != nil {
			return session, err
		}
		_ = hold(ctx, 100*time.Millisecond)
	}
}

// lead subscribes and works until the subscription ends. From the moment at which the master
// has begun it, no other scheduler's calls are taken; so the journal, read after that, has
// all that may have been launched.
func (s *taskScheduler) lead(ctx context.Context, node string) (err error) {
	if err := s.readJournal(); err != nil {
		return err
	}
	info := mesos.FrameworkInfo{ID: mesos.FrameworkID(s.book.framework), Name: "chores", FailoverTimeout: time.Hour}
	if s.stream, err = subscribe(ctx, s.client, node, info); err != nil {
		return err
	}
	defer s.stream.close()
	first, err := s.stream.next()
	if err != nil {
		return err
	}
	subscribed, ok := first.(mesos.SubscribedEvent)
	if !ok {
		return fmt.Errorf("chaos: the first event is %+v", first)
	}
	if err := s.readJournal(); err != nil {
		return err
	}
	if s.book.epoch > s.held.Token() {
		return fmt.Errorf("chaos: deposed by %d", s.book.epoch)
	}
	s.write(JournalLine{Deed: DeedLeads, Epoch: s.held.Token()})
	s.write(JournalLine{Deed: DeedSubs, Epoch: s.held.Token(), Framework: string(subscribed.Framework), Text: subscribed.Master})
	s.offers = nil
	s.reconcile(ctx, 0)
	return s.work(ctx)
}

func (s *taskScheduler) readJournal() error {
	lines, err := ReadJournalFile(filepath.Join(s.config.Dir, journalName))
	if err != nil {
		return err
	}
	s.book = newTaskBook(PlanUnits(s.config.Seed, s.config.Units, s.config.Longest))
	for _, l := range lines {
		s.book.note(l)
	}
	return nil
}

// write writes a line of the journal and notes it. Without a journal there is no scheduler.
func (s *taskScheduler) write(l JournalLine) {
	if err := s.journal.Write(l); err != nil {
		fatalf("%v", err)
	}
	l.At = Now()
	s.book.note(l)
}

func (s *taskScheduler) work(ctx context.Context) error {
	events, ended := make(chan mesos.Event, 64), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for {
			event, err := s.stream.next()
			if err != nil {
				ended <- err
				return
			}
			select {
			case events <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	tick := time.NewTicker(cmp.Or(s.config.Tick, 100*time.Millisecond))
	defer tick.Stop()
	silence := time.NewTimer(cmp.Or(s.config.Silence, 1000*time.Hour))
	defer silence.Stop()
	for {
		select {
		case event := <-events:
			silence.Reset(cmp.Or(s.config.Silence, 1000*time.Hour))
			s.hear(ctx, event)
		case <-silence.C:
			return errors.New("chaos: the stream is silent")
		case <-tick.C:
			s.tick(ctx)
		case err := <-ended:
			return fmt.Errorf("chaos: the stream has ended: %w", err)
		case <-s.held.Lost():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *taskScheduler) hear(ctx context.Context, event mesos.Event) {
	switch e := event.(type) {
	case mesos.OffersEvent:
		s.offers = append(s.offers, e.Offers...)
		s.launch(ctx)
	case mesos.RescindEvent:
		s.offers = slices.DeleteFunc(s.offers, func(o mesos.OfferInfo) bool { return o.ID == e.Offer })
	case mesos.UpdateEvent:
		s.update(ctx, e.Status)
	case mesos.ErrorEvent:
		fmt.Printf("%v told: %s\n", Now(), e.Message)
	}
}

// update writes an update down before it is acknowledged, as whoever acts on it must.
func (s *taskScheduler) update(ctx context.Context, u mesos.TaskStatus) {
	l := JournalLine{Deed: DeedUpdate, Epoch: s.held.Token(), Unit: unitOf(string(u.Task.Task)), Task: string(u.Task.Task), Agent: string(u.Agent),
		State: u.State.String(), Terminal: u.State.Terminal(), Reason: int(u.Reason), HasExit: u.HasExit, Exit: u.ExitCode, Signal: u.Signal, Text: u.Message}
	if u.Container != (mesos.ContainerID{}) {
		l.Container = u.Container.String()
	}
	if u.ID != (mesos.UpdateID{}) {
		l.ID = hex.EncodeToString(u.ID[:])
	}
	l = l.asSignal()
	s.write(l)
	if l.ID == "" {
		return
	}
	if err := s.call(ctx, mesos.AcknowledgeCall{Task: u.Task.Task, Agent: u.Agent, ID: u.ID}); err == nil {
		s.write(JournalLine{Deed: DeedAck, Unit: l.Unit, Task: l.Task, ID: l.ID})
	}
}

func (s *taskScheduler) call(ctx context.Context, body mesos.CallBody) error {
	err := s.stream.call(ctx, mesos.FrameworkID(s.book.framework), body)
	if err != nil {
		fmt.Printf("%v %T: %v\n", Now(), body, err)
	}
	return err
}

// unitOf is the number of the unit in a task's name.
func unitOf(task string) (unit int) {
	_, _ = fmt.Sscanf(task, "unit%d-", &unit)
	return unit
}

func (s *taskScheduler) tick(ctx context.Context) {
	s.budget = s.config.PerTick
	s.launch(ctx)
	s.kill(ctx)
	s.reconcile(ctx, 5*time.Second)
	if s.enough() && !s.book.ended && s.book.finished() {
		s.write(JournalLine{Deed: DeedEnd})
	}
}

// enough reports whether no more units are to begin.
func (s *taskScheduler) enough() bool {
	_, err := os.Stat(filepath.Join(s.config.Dir, enoughName))
	return err == nil && s.book.begun() >= s.config.Least
}

// Resources of a task; an agent has room for as many as there are.
const (
	choreResources     = "cpus:0.01;mem:16"
	containedResources = "cpus:0.2;mem:32" // which bind it, as they do not bind a process
)

func (c SchedulerConfig) resources(unit int) string {
	if c.contained(unit) {
		return containedResources
	}
	return choreResources
}

// launch accepts an offer for as many units as may begin, or gives it back.
func (s *taskScheduler) launch(ctx context.Context) {
	enough := s.enough()
	for len(s.offers) > 0 {
		units := s.book.startable(min(s.budget, s.config.Width-len(s.book.open)), enough)
		if len(units) == 0 {
			break
		}
		units = units[:(len(units)+len(s.offers)-1)/len(s.offers)] // shared among the agents
		offer := s.offers[0]
		s.offers = s.offers[1:]
		s.accept(ctx, offer, s.fitting(units, offer))
	}
}

// fitting are those of the units whose tasks the offer has room for, and an engine if they need one. With none of them
// it is given back.
func (s *taskScheduler) fitting(units []Unit, offer mesos.OfferInfo) (list []Unit) {
	left := offer.Resources
	for _, u := range units {
		need, err := mesos.ParseResources(s.config.resources(u.Number))
		if err != nil {
			fatalf("%v", err)
		}
		rest, ok := left.Sub(need)
		if ok && (offer.Attributes[mesos.DockerAttribute] != "" || !s.config.contained(u.Number)) {
			left, list = rest, append(list, u)
		}
	}
	return list
}

func (s *taskScheduler) accept(ctx context.Context, offer mesos.OfferInfo, units []Unit) {
	accept := mesos.AcceptCall{Offers: []mesos.OfferID{offer.ID}}
	s.budget -= len(units)
	for _, u := range units {
		task := s.task(u, offer)
		s.write(JournalLine{Deed: DeedIntend, Epoch: s.held.Token(), Unit: u.Number, Task: string(task.ID), Agent: string(offer.Agent)})
		accept.Launch = append(accept.Launch, task)
	}
	err := s.call(ctx, accept)
	for n, u := range units {
		l := JournalLine{Deed: DeedTaken, Unit: u.Number, Task: string(accept.Launch[n].ID)}
		switch {
		case errors.Is(err, errRefused):
			l.Deed, l.Text = DeedNot, err.Error()
		case err != nil:
			continue // it may have happened
		}
		s.write(l)
	}
}

func (s *taskScheduler) task(u Unit, offer mesos.OfferInfo) mesos.TaskInfo {
	resources, err := mesos.ParseResources(s.config.resources(u.Number))
	if err != nil {
		fatalf("%v", err)
	}
	name := s.book.name(u, s.held.Token())
	env := map[string]string{"CHORE_LEDGER": filepath.Join(s.config.Ledgers, u.Name()), "CHORE_TASK": name,
		"CHORE_TIME": u.Time.String(), "CHORE_CODE": fmt.Sprint(u.Code)}
	if u.Deaf {
		env["CHORE_DEAF"] = "1"
	}
	task := mesos.TaskInfo{ID: mesos.TaskID(name), Name: u.Name(), Agent: offer.Agent, Resources: resources, KillGrace: 300 * time.Millisecond,
		Command: mesos.Command{Value: s.config.Chore, Environment: env}}
	if s.config.contained(u.Number) {
		task.Command.Value = ""
		task.Docker = &mesos.Docker{Image: s.config.Image, Network: "none", Mounts: []mesos.Mount{{Volume: s.config.Volume, Target: s.config.Ledgers}}}
	}
	return task
}

// contained reports whether the tasks of a unit are containers of an engine.
func (c SchedulerConfig) contained(unit int) bool { return c.Image != "" && unit%2 == 0 }

// kill ends the tasks whose units say so, again and again until they have ended.
func (s *taskScheduler) kill(ctx context.Context) {
	for name, t := range s.book.open {
		after := s.book.units[t.unit].KillAfter
		if after == 0 || t.running == 0 || Now() < t.running+after || t.killed && Now() < t.asked+3*time.Second {
			continue
		}
		if !t.killed {
			s.write(JournalLine{Deed: DeedKill, Unit: t.unit, Task: name})
		}
		t.asked = Now()
		_ = s.call(ctx, mesos.KillCall{Task: mesos.TaskID(name), Agent: mesos.AgentID(t.agent)})
	}
}

// reconcile asks for all tasks of which nothing was heard for as long.
func (s *taskScheduler) reconcile(ctx context.Context, silent time.Duration) {
	var ask mesos.ReconcileCall
	for name, t := range s.book.open {
		quiet := silent
		if t.state == "RUNNING" {
			quiet *= 3
		}
		if now := Now(); silent == 0 || now > max(t.since, t.asked)+quiet {
			t.asked = now
			ask.Tasks = append(ask.Tasks, mesos.ReconcileTask{Task: mesos.TaskID(name), Agent: mesos.AgentID(t.agent)})
		}
	}
	if len(ask.Tasks) > 0 {
		_ = s.call(ctx, ask)
	}
}
