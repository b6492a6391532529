package main

import (
	"errors"
	"strings"
)

// quoted is a command line that splits into words again, here and in a shell.
func quoted(words []string) string {
	var line []string
	for _, w := range words {
		if w == "" || strings.ContainsFunc(w, special) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		line = append(line, w)
	}
	return strings.Join(line, " ")
}

func special(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_", r)
}

// split parts a command line into words: by spaces, but not within quotes or behind a backslash.
// It does nothing else of what a shell does.
func split(line string) (words []string, err error) {
	var word strings.Builder
	var quote rune
	within, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			within, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			within, quote = true, r
		case quote == 0 && (r == ' ' || r == '\t' || r == '\n'):
			if within {
				words = append(words, word.String())
			}
			word.Reset()
			within = false
		default:
			within = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("the command line ends within a quotation")
	}
	if within {
		words = append(words, word.String())
	}
	return words, nil
}
