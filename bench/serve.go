package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// leadsInterval is how often a replica looks whether it leads.
const leadsInterval = 20 * time.Millisecond

// serve is one replica, or one client process, of an engine. The conductor starts
// it; nobody types it.
func serve(arguments []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	client := flags.Bool("client", false, "be a client of the replicas, not one of them")
	encoded := flags.String("config", "{}", "engine configuration as JSON")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	k, err := findKind(flags.Arg(0))
	if err != nil {
		return err
	}
	var config engineConfig
	if err := json.Unmarshal([]byte(*encoded), &config); err != nil {
		return fmt.Errorf("-config: %w", err)
	}
	s := &server{kind: k, engine: k.newServer, output: os.Stdout}
	if *client {
		s.engine = k.newClient
	}
	if s.engine == nil {
		return fmt.Errorf("engine %s has no such process", k.name)
	}
	return s.run(config, os.Stdin)
}

type server struct {
	kind   kind
	engine func() engine
	mutex  sync.Mutex // one event at a time
	output io.Writer
}

func (s *server) run(config engineConfig, input io.Reader) error {
	e := s.engine()
	started := make(chan error, 1)
	go func() { started <- e.start(config) }()
	go func() {
		if err := <-started; err != nil {
			s.emit(event{Kind: "failed", Error: err.Error()})
			return
		}
		s.emit(event{Kind: "started"})
		s.watchRole(e)
	}()
	lines := bufio.NewScanner(input)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("order: %w", err)
		}
		go s.obey(e, o)
	}
	return nil // the process ends and its engine with it: its data is thrown away
}

func (s *server) obey(e engine, o order) {
	if o.Load != nil {
		s.answer(func() (event, error) {
			result, err := runLoad(e, s.kind.deadline, *o.Load)
			return event{Kind: "result", Result: result}, err
		})
	}
	if o.Fill != nil {
		s.answer(func() (event, error) {
			index, err := runFill(e, *o.Fill)
			return event{Kind: "filled", Index: index}, err
		})
	}
	if o.Changes != nil {
		s.answer(func() (event, error) {
			changes, err := runChangesUnderLoad(e, *o.Changes)
			return event{Kind: "changed", Changes: changes}, err
		})
	}
	if o.Reach > 0 {
		s.answer(func() (event, error) { return event{Kind: "reached"}, awaitApplied(e, o.Reach) })
	}
	if o.Probe != nil {
		runProbe(e, *o.Probe, func(at time.Time) {
			s.emit(event{Kind: "acknowledged", AcknowledgedAt: at.UnixNano()})
		})
	}
}

// answer emits what came of an order.
func (s *server) answer(obeyed func() (event, error)) {
	e, err := obeyed()
	if err != nil {
		e = event{Kind: "failed", Error: err.Error()}
	}
	s.emit(e)
}

// watchRole says when this replica begins and ceases to lead.
func (s *server) watchRole(e engine) {
	ticker := time.NewTicker(leadsInterval)
	defer ticker.Stop()
	for led := false; ; <-ticker.C {
		leads := e.leads()
		switch {
		case leads && !led:
			s.emit(event{Kind: "leading"})
		case led && !leads:
			s.emit(event{Kind: "following"})
		}
		led = leads
	}
}

func (s *server) emit(e event) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := json.NewEncoder(s.output).Encode(e); err != nil {
		report("emit", err)
	}
}
