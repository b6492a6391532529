package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod"
	"github.com/synod-go/synod/actors/decree"
	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/internal/sim/flight"
)

func (a *app) inspectReplay() *cobra.Command {
	return &cobra.Command{
		Use: "replay FILE...", Short: "run recordings of decrees again and judge them by the rules of Paxos", Args: cobra.MinimumNArgs(1),
		Long: "Give fresh proposers, acceptors and learners what the recorded ones were given, step by step, and compare\n" +
			"what they say; and hold the recording against the rules. Several files are put together by time. An event\n" +
			"that is not as it must be is named with its rule: exit code 8.",
		Example: a.example("inspect replay a1.jsonl a2.jsonl p1.jsonl", "inspect replay flight.jsonl --output json"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.replay(args) },
	}
}

func (a *app) replay(files []string) error {
	var recordings [][]synod.DecreeEvent
	for _, name := range files {
		events, err := readRecording(name)
		if err != nil {
			return err
		}
		recordings = append(recordings, events)
	}
	report := flight.Replay(flight.Merge(recordings...))
	if report.Events == 0 {
		return &api.Error{Code: api.CodeNotFound, Message: "nothing is recorded there"}
	}
	err := a.answer(report, func(w io.Writer) {
		for _, f := range report.Findings {
			fmt.Fprintf(w, "! %v\n", f)
		}
		verdict := "equal"
		if len(report.Findings) > 0 {
			verdict = "NOT EQUAL"
		}
		fmt.Fprintf(w, "%s  %s events of %s decrees: %s cores run again, %s inputs, %s outputs compared, %s skipped\n", verdict,
			counted(uint64(report.Events)), counted(uint64(report.Decrees)), counted(uint64(report.Cores)),
			counted(uint64(report.Inputs)), counted(uint64(report.Compared)), counted(uint64(report.Skipped)))
	})
	if err == nil && len(report.Findings) > 0 {
		return silent(api.ExitUnhealthy)
	}
	return err
}

func readRecording(name string) ([]synod.DecreeEvent, error) {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no file %q", name)}
	}
	if err != nil {
		return nil, &api.Error{Code: api.CodeData, Message: name + " cannot be read", Why: plain(err)}
	}
	defer file.Close()
	events, err := decree.ReadRecording(file)
	if err != nil {
		return nil, &api.Error{Code: api.CodeDamage, Message: name + " is no recording of decrees", Why: plain(err),
			Do: []string{"node decree recording > FILE"}}
	}
	return events, nil
}
