package chaos

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Judge bounds what porcupine may use. Beyond the bounds the verdict is Unknown,
// which fails the run: a check that was given up proves nothing.
type Judge struct {
	Time   time.Duration // default 1 minute for each slice
	Memory uint64        // bytes, default 2 GiB
}

// Verdict is what porcupine said about one slice.
type Verdict struct {
	Result     string // "Ok", "Illegal" or "Unknown"
	Operations int
	Reason     string // why it is Unknown
}

// judgeEnvironment makes a process of this program a porcupine child; see
// [JudgeMain].
const judgeEnvironment = "SYNOD_CHAOS_JUDGE"

// exitMemory is how a child says that it needed more memory than allowed.
const exitMemory = 3

type judgeInput struct {
	Operations []Operation
	Time       time.Duration
	Memory     uint64
}

// Linearizable asks porcupine whether the operations of each key have a
// sequential order that explains all answers and respects real time. Indexes and
// sequential reads are left out. It runs in a child process, because hard
// histories take all the memory there is; the program must call [JudgeMain].
func Linearizable(ctx context.Context, operations []Operation, judge Judge) (Verdict, error) {
	judge.Time = cmp.Or(judge.Time, time.Minute)
	judge.Memory = cmp.Or(judge.Memory, 2<<30)
	slice := judged(operations)
	input, err := json.Marshal(judgeInput{slice, judge.Time, judge.Memory})
	if err != nil {
		return Verdict{}, fmt.Errorf("chaos: encode history: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return Verdict{}, fmt.Errorf("chaos: find own program: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, judge.Time+10*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	child := exec.CommandContext(ctx, self)
	child.Env = append(os.Environ(), judgeEnvironment+"=1")
	child.Stdin, child.Stdout, child.Stderr = bytes.NewReader(input), &out, &errs
	err = child.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		verdict := Verdict{Operations: len(slice)}
		return verdict, json.Unmarshal(out.Bytes(), &verdict.Result)
	case ctx.Err() != nil:
		return Verdict{"Unknown", len(slice), "time"}, nil
	case errors.As(err, &exit) && exit.ExitCode() == exitMemory:
		return Verdict{"Unknown", len(slice), "memory"}, nil
	}
	return Verdict{}, fmt.Errorf("chaos: porcupine child: %w: %s", err, errs.String())
}

// JudgeMain turns this process into a porcupine child if it was started as one,
// and returns at once otherwise. Call it first in main or TestMain.
func JudgeMain() {
	if os.Getenv(judgeEnvironment) == "" {
		return
	}
	data, err := io.ReadAll(os.Stdin)
	var input judgeInput
	if err == nil {
		err = json.Unmarshal(data, &input)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	go limitMemory(input.Memory)
	result := porcupine.CheckOperationsTimeout(registerModel, porcupineOperations(input.Operations), input.Time)
	if err := json.NewEncoder(os.Stdout).Encode(string(result)); err != nil {
		os.Exit(2)
	}
	os.Exit(0)
}

// limitMemory ends the process when it holds more than limit bytes.
func limitMemory(limit uint64) {
	for range time.Tick(50 * time.Millisecond) {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		if stats.HeapInuse > limit {
			os.Exit(exitMemory)
		}
	}
}

// judged keeps what linearizability speaks about: answers that were given at a
// linearizable level and writes that may have happened.
func judged(operations []Operation) []Operation {
	return slices.DeleteFunc(slices.Clone(operations), func(o Operation) bool {
		return o.Outcome == Refused ||
			o.Kind == Get && (o.Outcome != Done || o.Level == LevelSequential)
	})
}

// porcupineOperations maps a history to porcupine's form. A write of unknown
// outcome never returns, so it gets a client of its own.
func porcupineOperations(operations []Operation) []porcupine.Operation {
	clients := 0
	for _, o := range operations {
		clients = max(clients, o.Client+1)
	}
	result := make([]porcupine.Operation, 0, len(operations))
	for _, o := range operations {
		p := porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Call), Output: o, Return: int64(o.Return)}
		if o.Outcome == Unknown {
			p.ClientId, p.Return = clients, math.MaxInt64
			clients++
		}
		result = append(result, p)
	}
	return result
}

// cell is the state of one key in porcupine's model.
type cell struct {
	value   string
	version uint64 // 0: absent
}

// registerModel is a key of the tree: put, compare-and-set, delete, get, with
// versions that count the writes since the key was created.
var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string][]porcupine.Operation)
		var keys []string
		for _, p := range history {
			key := p.Input.(Operation).Key
			if _, seen := byKey[key]; !seen {
				keys = append(keys, key)
			}
			byKey[key] = append(byKey[key], p)
		}
		slices.Sort(keys)
		parts := make([][]porcupine.Operation, 0, len(keys))
		for _, key := range keys {
			parts = append(parts, byKey[key])
		}
		return parts
	},
	Init: func() any { return cell{} },
	Step: func(state, input, output any) (bool, any) {
		return step(state.(cell), input.(Operation))
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string {
		o := input.(Operation)
		return o.String()
	},
}

// step says whether o's answer fits the cell and what the cell becomes.
func step(c cell, o Operation) (bool, cell) {
	known := o.Outcome == Done
	written := cell{o.Value, c.version + 1}
	switch o.Kind {
	case Get:
		if !o.Found {
			return c.version == 0, c
		}
		return c.value == o.Value && c.version == o.Version, c
	case Delete:
		return !known || o.Missed == (c.version == 0), cell{}
	case CompareAndSet:
		if o.Expect != c.version {
			return !known || o.Missed, c
		}
		return !known || !o.Missed && o.Version == written.version, written
	default:
		return !known || o.Version == written.version, written
	}
}
