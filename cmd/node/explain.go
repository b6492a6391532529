package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/docs"
)

// explained is what docs/errors.md says of a code.
type explained struct {
	Code string `json:"code"`
	Exit int    `json:"exit"`
	HTTP int    `json:"http,omitempty"` // 0: only the command line reports it
	What string `json:"what"`
	Why  string `json:"why,omitempty"` // usually
	Do   string `json:"do,omitempty"`
}

// explainedExit is what docs/errors.md says of an exit code.
type explainedExit struct {
	Exit    int         `json:"exit"`
	Meaning string      `json:"meaning"`
	Codes   []explained `json:"codes"`
}

func (a *app) explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain [CODE | exit N]", Short: "explain an error code or an exit code",
		Long: "Explain an error code, with its usual causes and what to do, or an exit code. Without CODE all codes are listed.\n" +
			"The texts are those of docs/errors.md.",
		Example: a.example("explain E-CONFLICT", "explain exit 6", "explain"),
		Args:    cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			codes, exits := explanations(docs.Errors)
			switch {
			case len(args) == 0:
				return a.listCodes(codes)
			case len(args) == 1:
				return a.explainCode(codes, args[0])
			case args[0] == "exit":
				return a.explainExit(exits, args[1])
			}
			return a.usageError(c, argumentWords(c, args))
		},
	}
}

// explanations reads the two tables of docs/errors.md.
func explanations(text string) (codes []explained, exits []explainedExit) {
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		code, isCode := strings.CutPrefix(cells[0], "`E-")
		switch {
		case isCode && len(cells) == 6:
			e := explained{Code: "E-" + strings.Trim(code, "`"), What: spoken(cells[3]), Why: spoken(cells[4]), Do: spoken(cells[5])}
			e.HTTP, _ = strconv.Atoi(cells[1]) // "-" is none
			e.Exit, _ = strconv.Atoi(cells[2])
			codes = append(codes, e)
		case len(cells) == 2:
			for number := range strings.SplitSeq(cells[0], ", ") {
				if n, err := strconv.Atoi(number); err == nil {
					exits = append(exits, explainedExit{Exit: n, Meaning: spoken(cells[1])})
				}
			}
		}
	}
	for i := range exits {
		for _, e := range codes {
			if e.Exit == exits[i].Exit {
				exits[i].Codes = append(exits[i].Codes, e)
			}
		}
	}
	return codes, exits
}

// spoken is a cell of the table without its marks.
func spoken(cell string) string {
	return strings.NewReplacer("**", "", "`", "", `\|`, "|").Replace(cell)
}

func (a *app) listCodes(codes []explained) error {
	return a.answer(codes, func(w io.Writer) {
		rows := [][]string{{"CODE", "EXIT", "HTTP", "WHAT"}}
		for _, e := range codes {
			rows = append(rows, []string{e.Code, strconv.Itoa(e.Exit), e.http(), e.What})
		}
		columns(w, rows)
	})
}

func (e explained) http() string {
	if e.HTTP == 0 {
		return "-"
	}
	return strconv.Itoa(e.HTTP)
}

// explainCode explains one code; its "E-" may be left out, and capitals too.
func (a *app) explainCode(codes []explained, name string) error {
	wanted := strings.ToUpper(name)
	if !strings.HasPrefix(wanted, "E-") {
		wanted = "E-" + wanted
	}
	var known []string
	for _, e := range codes {
		if e.Code == wanted {
			return a.answer(e, func(w io.Writer) {
				fmt.Fprintf(w, "%s  exit %d, %s\n  what  %s\n  why   %s\n  do    %s\n", e.Code, e.Exit, whereReported(e), e.What, cmp.Or(e.Why, "-"), a.ownName(e.Do))
			})
		}
		known = append(known, e.Code)
	}
	return notExplained(fmt.Sprintf("there is no code %.100q", name), nearest(wanted, known))
}

// whereReported says by what HTTP status a code is told, if by any.
func whereReported(e explained) string {
	if e.HTTP == 0 {
		return "of the command line alone"
	}
	return "HTTP " + e.http()
}

func (a *app) explainExit(exits []explainedExit, number string) error {
	for _, e := range exits {
		if strconv.Itoa(e.Exit) != number {
			continue
		}
		if e.Codes == nil {
			e.Codes = []explained{}
		}
		return a.answer(e, func(w io.Writer) {
			fmt.Fprintf(w, "exit %d  %s\n", e.Exit, e.Meaning)
			var rows [][]string
			for _, c := range e.Codes {
				rows = append(rows, []string{"  " + c.Code, c.What})
			}
			columns(w, rows)
		})
	}
	return notExplained(fmt.Sprintf("there is no exit code %.100q", number), "")
}

func notExplained(message, near string) error {
	e := &api.Error{Code: api.CodeNotFound, Message: message}
	if near != "" {
		e.Do = append(e.Do, "did you mean  node explain "+near)
	}
	e.Do = append(e.Do, "node explain")
	return e
}
