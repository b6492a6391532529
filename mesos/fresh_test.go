package mesos

import "testing"

// A new agent that registers twice before the first answer comes takes only the answer to
// the second. The ping behind the first finds it without an id, so it cannot answer:
// nothing of it would be offered until the next ping is due.
func TestANewAgentThatRegistersTwiceIsPingedAgain(t *testing.T) {
	s := newStage(t, nil)
	info := AgentInfo{Hostname: "h", Address: "10.0.0.9:4750"}
	s.held = true
	s.agentSays(1, Register{Info: info, Boot: "b", Attempt: 11, Sequence: 1})
	s.agentSays(1, Register{Info: info, Boot: "b", Attempt: 12, Sequence: 2})
	s.held = false
	s.release()
	s.run()
	answered := uint64(0)
	var pinged *Ping
	for _, m := range s.agents {
		switch m := m.Message.(type) {
		case Registered:
			answered, pinged = m.Attempt, nil
		case Ping:
			pinged = &m
		}
	}
	if answered != 12 || pinged == nil {
		t.Errorf("attempt %d was answered last, then came the ping %+v; want 12 and one after it", answered, pinged)
	}
}
