package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/synod-go/synod/api"
)

// maxConfigBytes is as long as a configuration file may be.
const maxConfigBytes = 1 << 20

// notInFile are flags that make no sense in the file of a node.
var notInFile = []string{"config", "check", "help", "addr", "output", "timeout", "no-color", "quiet"}

// applyConfigFile sets the flags that are not on the command line to what the file says:
// its keys are the names of the flags. It returns the place of each in the file, and tells
// all that is wrong with it at once.
func applyConfigFile(c *cobra.Command, file string) (origins map[string]string, err error) {
	document, err := readConfigFile(file)
	if err != nil || document == nil {
		return nil, err
	}
	var wrong []string
	origins = map[string]string{}
	note := func(n *yaml.Node, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("line %d: ", n.Line)+fmt.Sprintf(format, args...))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(document.Content); i += 2 {
		key, value := document.Content[i], document.Content[i+1]
		flag := configFlag(c, key.Value)
		switch {
		case flag == nil:
			note(key, "there is no key %q%s", key.Value, suggestKey(c, key.Value))
		case seen[key.Value]:
			note(key, "%q is there twice", key.Value)
		case flag.Changed: // the command line is stronger
		default:
			if err := setFromFile(flag, value); err != nil {
				note(value, "%s: %s", key.Value, err)
			} else {
				origins[flag.Name] = fmt.Sprintf("%s:%d", file, value.Line)
			}
		}
		seen[key.Value] = true
	}
	if len(wrong) == 0 {
		return origins, nil
	}
	return nil, &api.Error{Code: api.CodeUsage, Message: "the configuration file " + file + " is not understood", Why: strings.Join(wrong, "\n"),
		Do: []string{"its keys are the flags of start:  node start --help"}}
}

// readConfigFile returns the mapping that a file holds, nil if it is empty.
func readConfigFile(file string) (*yaml.Node, error) {
	failed := func(why string) error {
		return &api.Error{Code: api.CodeUsage, Message: "the configuration file " + file + " cannot be read", Why: why}
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, failed(plain(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	switch {
	case err != nil:
		return nil, failed(plain(err))
	case len(text) > maxConfigBytes:
		return nil, failed(fmt.Sprintf("it is longer than %d bytes", maxConfigBytes))
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, failed(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	if document.Content[0].Kind != yaml.MappingNode {
		return nil, failed("it is not a list of lines  key: value")
	}
	return document.Content[0], nil
}

// configFlag is the flag of a key, nil if there is none that may be in a file.
func configFlag(c *cobra.Command, key string) *pflag.Flag {
	if slices.Contains(notInFile, key) {
		return nil
	}
	return c.Flags().Lookup(key)
}

// setFromFile gives a flag its value: a list only to one that takes several.
func setFromFile(flag *pflag.Flag, value *yaml.Node) error {
	list, takesList := flag.Value.(pflag.SliceValue)
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag != "!!null" && takesList:
		return list.Replace(strings.Split(value.Value, ","))
	case value.Kind == yaml.ScalarNode && value.Tag != "!!null":
		if err := flag.Value.Set(value.Value); err != nil {
			return fmt.Errorf("%q is no %s", value.Value, flag.Value.Type())
		}
		return nil
	case value.Kind == yaml.SequenceNode && takesList:
		var values []string
		for _, v := range value.Content {
			if v.Kind != yaml.ScalarNode {
				return errors.New("a list of plain values is wanted")
			}
			values = append(values, v.Value)
		}
		return list.Replace(values)
	}
	return errors.New("a plain value is wanted")
}

// suggestKey names the key that may have been meant.
func suggestKey(c *cobra.Command, key string) string {
	keys := &cobra.Command{SuggestionsMinimumDistance: 2}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(notInFile, f.Name) {
			keys.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	if near := keys.SuggestionsFor(key); len(near) > 0 {
		return ", did you mean " + near[0] + "?"
	}
	return ""
}

// setting is one line of "start --check".
type setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// showSettings prints what holds, and where each value comes from.
func (a *app) showSettings(c *cobra.Command, origins map[string]string) error {
	var list []setting
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if slices.Contains(notInFile, f.Name) {
			return
		}
		from := "default"
		if f.Changed {
			from = "command line"
		}
		list = append(list, setting{f.Name, strings.Trim(f.Value.String(), "[]"), cmp.Or(origins[f.Name], from)})
	})
	return a.answer(list, func(w io.Writer) {
		rows := [][]string{{"KEY", "VALUE", "FROM"}}
		for _, s := range list {
			rows = append(rows, []string{s.Key, cmp.Or(s.Value, "-"), s.From})
		}
		columns(w, rows)
	})
}
