package actors_test

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/synod-go/synod/actors"
)

// An actor that receives everything that waits for it at once, under a
// guardian that would end the node if its disk failed.
func Example() {
	system := actors.NewSystem(nil)
	ended := make(chan error, 1)
	guardian := actors.NewStrategy(actors.StrategyConfig{
		OnFailStop: func(_ *actor.PID, reason any) { ended <- reason.(error) },
	})
	sum := 0
	receive := func(c actor.Context) {
		batch, ok := c.Message().(*actors.Batch)
		if !ok {
			return
		}
		for _, item := range batch.Messages {
			switch m := item.Message.(type) {
			case int:
				sum += m
			case error:
				panic(&actors.FailStop{Err: m})
			}
		}
	}
	pid := system.Root.Spawn(actor.PropsFromFunc(receive,
		actor.WithMailbox(actors.MailboxConfig{MaxMessages: 100}.Producer()),
		actor.WithGuardian(guardian)))

	for i := range 10 {
		system.Root.Send(pid, i)
	}
	system.Root.Send(pid, errors.New("disk failed"))
	fmt.Println(<-ended, "after", sum)
	// Output: fail-stop: disk failed after 45
}

// The same seed gives the same order of everything that actors do.
func ExampleSeededDispatcher() {
	run := func(seed uint64) string {
		system, dispatcher := actors.NewSystem(nil), actors.NewSeededDispatcher(seed, actors.PerMessage)
		order := ""
		for _, name := range []string{"a", "b", "c"} {
			pid := system.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
				if _, ok := c.Message().(*actors.Batch); ok {
					order += name
				}
			}, actor.WithMailbox(actors.MailboxConfig{}.Producer()), actor.WithDispatcher(dispatcher)))
			for range 3 {
				system.Root.Send(pid, "go")
			}
		}
		dispatcher.Run(0)
		return order
	}
	first, again := run(1), run(1)
	fmt.Println(first == again, len(first))
	// Output: true 9
}
