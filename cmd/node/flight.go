package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

func (a *app) flightCommand() *cobra.Command {
	var group string
	var last uint
	c := &cobra.Command{
		Use: "flight", Short: "the last messages of a group's log on one node", Args: cobra.NoArgs,
		Long: "Show what the flight recorder of a node holds, the newest last: each message of the group's log, to or from\n" +
			"whom, with its term and indexes, with --engine paxos its ballot (epoch.round.proposer) and its slots; each\n" +
			"change of the node's role, leader, term or ballot; with Raft what was appended, truncated and committed. Name\n" +
			"one node with --addr: each has a recorder of its own, of 4096 events. Indexes are 5..9, or 5.. from 5 on, or\n" +
			"..9 for what is committed or chosen up to 9, for a candidate's last entry, or for where logs are equal.",
		Example: a.example("flight --addr 127.0.0.1:4710", "flight --last 0 --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			flight, err := client.Flight(c.Context(), group, int(min(last, 1<<20)))
			if err != nil {
				return err
			}
			return a.showFlight(flight)
		},
	}
	c.Flags().StringVar(&group, "group", coordinationGroup, "the group whose log it is")
	c.Flags().UintVar(&last, "last", 100, "how many of the newest events, 0 for all")
	return c
}

func (a *app) showFlight(f api.Flight) error {
	if a.output == "json" {
		for _, e := range f.Events {
			if err := a.line(e); err != nil {
				return err
			}
		}
		return nil
	}
	fmt.Fprintf(a.out, "node %s  group %s  %s events\n", f.Node, f.Group, counted(uint64(len(f.Events))))
	showEvents(a.out, f.Events)
	return nil
}

func showEvents(w io.Writer, events []api.FlightEvent) {
	rows := [][]string{{"TIME", "DIR", "PEER", "MESSAGE", "BALLOT", "SLOTS"}}
	raft := slices.ContainsFunc(events, func(e api.FlightEvent) bool { return e.Term > 0 })
	if raft {
		rows = [][]string{{"TIME", "DIR", "PEER", "MESSAGE", "TERM", "INDEXES", "OF TERM"}}
	}
	for _, e := range events {
		row := []string{e.Time.Local().Format("15:04:05.000"), e.Direction, cmp.Or(e.PeerName, "-"), e.Kind, cmp.Or(e.Ballot, "-"), slots(e)}
		if e.Refused {
			row[3] += ", refused"
		}
		if raft {
			row[4] = number(e.Term)
			row = append(row, number(e.EntryTerm))
		}
		rows = append(rows, row)
	}
	columns(w, rows)
}

// number is n, or - for none.
func number(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// slots are those that an event is about: what is missing at one end is left out.
func slots(e api.FlightEvent) string {
	first, last := fmt.Sprint(e.First), fmt.Sprint(e.Last)
	switch {
	case e.First == 0 && e.Last == 0:
		return "-"
	case e.First == 0:
		first = ""
	case e.Last == 0:
		last = ""
	case e.First == e.Last:
		return first
	}
	return first + ".." + last
}

// leads says who leads since when: in a Raft group with a term, in a Paxos group
// with a ballot.
func leads(s api.Status) string {
	if s.Ballot != "" {
		return s.Leader + " leads with ballot " + s.Ballot
	}
	return fmt.Sprintf("%s leads term %d", s.Leader, s.Term)
}
