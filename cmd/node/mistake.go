package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// mistake is one thing that is wrong with a file, at a place that counts from 1. Line 0: at no place of it.
type mistake struct {
	line, column int
	text, hint   string
}

// Bounds of what is shown of a file.
const (
	maxMistakes  = 20
	lineBefore   = 60  // letters shown before the place of a mistake
	lineBehind   = 100 // and from it on
	tabsAsSpaces = " "
)

// showMistakes lists what is wrong with a file: where and what, then the line with a caret below the place, then
// what to write instead.
func showMistakes(name string, data []byte, list []mistake) string {
	lines := strings.Split(string(data), "\n")
	slices.SortStableFunc(list, func(x, y mistake) int { return cmp.Or(cmp.Compare(x.line, y.line), cmp.Compare(x.column, y.column)) })
	var text strings.Builder
	for i, m := range list {
		if i == maxMistakes {
			fmt.Fprintf(&text, "\nand %d more", len(list)-i)
			break
		}
		text.WriteString("\n")
		if m.line > 0 {
			fmt.Fprintf(&text, "%s:%d:%d: ", name, m.line, m.column)
		}
		text.WriteString(m.text)
		if m.hint != "" {
			fmt.Fprintf(&text, ": %s", m.hint)
		}
		if m.line > 0 && m.line <= len(lines) {
			text.WriteString(caret(lines[m.line-1], m.column))
		}
	}
	return strings.TrimPrefix(text.String(), "\n")
}

// caret shows a line with a mark below a column; of a long one what is around it.
func caret(line string, column int) string {
	runes := []rune(strings.ReplaceAll(strings.TrimRight(line, "\r"), "\t", tabsAsSpaces))
	if column < 1 || column > len(runes)+1 {
		return ""
	}
	at, before, behind := column-1, "", ""
	if len(runes) > at+lineBehind {
		runes, behind = runes[:at+lineBehind], "..."
	}
	if at > lineBefore {
		runes, at, before = runes[at-lineBefore:], lineBefore+len("..."), "..."
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) { // a file must not reach the terminal's commands
			runes[i] = '?'
		}
	}
	return "\n  " + before + string(runes) + behind + "\n  " + strings.Repeat(" ", at) + "^"
}
