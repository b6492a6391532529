package sim

// Shrink looks for a smaller plan that breaks the same rule, with at most runs
// tries, and returns the traced result of the smallest it found. Every step is
// sound because each decision is a hash of its own: what is left out does not
// change how the rest is drawn.
func Shrink(p Plan, rule string, runs int) Result { return shrink(Run, p, rule, runs) }

func shrink(run func(Plan, bool) Result, p Plan, rule string, runs int) Result {
	s := &shrinker{run: run, rule: rule, runs: runs, best: p}
	s.cut()
	s.classes()
	s.smaller()
	s.events()
	s.cut()
	return run(s.best, true)
}

type shrinker struct {
	run  func(p Plan, trace bool) Result
	rule string
	runs int
	best Plan
	last Result
}

// try takes a plan over if it still breaks the rule.
func (s *shrinker) try(p Plan) bool {
	if s.runs == 0 {
		return false
	}
	s.runs--
	r := s.run(p, false)
	if r.Failure == nil || r.Failure.Rule != s.rule {
		return false
	}
	s.best, s.last = p, r
	return true
}

// cut ends the run where it fails, and where the safety phase can be shorter
// than that, begins the liveness phase earlier.
func (s *shrinker) cut() {
	p := s.best
	p.Stop = 0
	if !s.try(p) {
		return
	}
	if s.rule != "R14" {
		p.Steps = int(s.last.Failure.Step) + 1
		s.try(p)
		return
	}
	for range 6 { // a liveness failure: halve what comes before
		p = s.best
		p.Steps /= 2
		if !s.try(p) {
			return
		}
	}
}

// classes turns classes of faults off, one by one.
func (s *shrinker) classes() {
	for i := range faultNames {
		p := s.best
		p.Off |= 1 << i
		if p.Off != s.best.Off {
			s.try(p)
		}
	}
}

// smaller tries fewer clients and fewer voters.
func (s *shrinker) smaller() {
	for n := 1; n <= 3; n++ {
		p := s.best
		p.Clients = n
		if s.try(p) {
			break
		}
	}
	for n := 1; n <= 3; n++ {
		p := s.best
		p.Voters = n
		if s.try(p) {
			break
		}
	}
}

// events leaves single faults out: halves, quarters, and so on (delta
// debugging), class by class.
func (s *shrinker) events() {
	for i := range faultNames {
		class := Fault(1) << i
		if s.last.On&class == 0 || (scheduled|Panic)&class == 0 {
			continue
		}
		var numbers []uint64
		for n := range s.happened(i) {
			numbers = append(numbers, n+1)
		}
		s.debug(class, numbers)
	}
}

func (s *shrinker) happened(class int) uint64 { return s.last.Stats.Faults[faultNames[class]] }

func (s *shrinker) debug(class Fault, numbers []uint64) {
	if len(numbers) == 0 || s.runs == 0 {
		return
	}
	p := s.best
	p.Skip = append([]Skip(nil), p.Skip...)
	for _, n := range numbers {
		p.Skip = append(p.Skip, Skip{class, n})
	}
	if s.try(p) || len(numbers) == 1 {
		return
	}
	half := len(numbers) / 2
	s.debug(class, numbers[half:])
	s.debug(class, numbers[:half])
}
