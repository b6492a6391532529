package actors

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
)

func TestTheCensusKnowsWhoFailedAndWhoWaits(t *testing.T) {
	boom := &recorder{on: func(_ actor.Context, message any) {
		if message == "boom" {
			panic("disk on fire")
		}
	}}
	system, pid, d := stepped(boom, MailboxConfig{}, actor.WithGuardian(actor.NewOneForOneStrategy(1, 1, actor.DefaultDecider)))
	for d.Step() {
	}
	system.Root.Send(pid, "a")
	if list := Census(system); len(list) != 1 || list[0].Name != pid.Id || list[0].Waiting != 1 || list[0].Restarts != 0 {
		t.Fatalf("one message waits, and the census is %+v", list)
	}
	system.Root.Send(pid, "boom")
	for d.Step() {
	}
	if list := Census(system); list[0].Restarts != 1 || list[0].Panic != "disk on fire" || list[0].PanicAt.IsZero() || list[0].Waiting != 0 {
		t.Errorf("after a panic and a restart the census is %+v", list)
	}
	system.Root.Stop(pid)
	for d.Step() {
	}
	if list := Census(system); len(list) != 0 {
		t.Errorf("after the stop the census is %+v", list)
	}
}
