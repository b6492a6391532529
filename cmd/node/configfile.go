package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/synod-go/synod/api"
)

// maxConfigBytes is as long as a configuration file may be.
const maxConfigBytes = 1 << 20

// envPrefix begins the names of variables that set what flags set: NODE_API_PORT is --api-port.
const envPrefix = "NODE_"

// commandLine is the origin of flags.
const commandLine = "command line"

// origin is where the value of a setting is from: commandLine, a variable, or a place in the file.
type origin struct {
	from         string
	line, column int // from 1 on; 0: not the file
}

// settings are the flags of a node or an agent as file, environment and command line together have them:
// each is stronger than the one before.
type settings struct {
	c       *cobra.Command
	file    string // "" if there is none
	data    []byte
	origins map[string]origin // by name; what is not here has its default
	wrong   []mistake
}

// settleFlags sets the flags of c that are not on the command line to what the environment says, or else the
// file, if there is one: its keys are the names of the flags. It tells all that is wrong at once.
func settleFlags(c *cobra.Command, file string) (*settings, error) {
	s := &settings{c: c, file: file, origins: map[string]origin{}}
	if file != "" {
		document, err := s.read()
		if err != nil {
			return nil, err
		}
		s.takeFile(document)
	}
	s.takeEnvironment()
	if len(s.wrong) == 0 {
		return s, nil
	}
	return nil, s.error()
}

func (s *settings) error() *api.Error {
	verb := "start"
	if s.c.Name() == "agent" {
		verb = "agent"
	}
	e := &api.Error{Code: api.CodeUsage, Message: "the configuration file " + s.file + " is not understood", Why: showMistakes(s.file, s.data, s.wrong),
		Do: []string{fmt.Sprintf("its keys are the flags of %[1]s:  node %[1]s --help", verb)}}
	if s.file == "" {
		e.Message, e.Do = "the environment is not understood", []string{"node config show --origin"}
	}
	return e
}

// read returns the mapping that the file holds, nil if it is empty.
func (s *settings) read() (*yaml.Node, error) {
	failed := func(why string) error {
		return &api.Error{Code: api.CodeUsage, Message: "the configuration file " + s.file + " cannot be read", Why: why}
	}
	f, err := os.Open(s.file)
	if err != nil {
		return nil, failed(plain(err))
	}
	defer f.Close()
	s.data, err = io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	switch {
	case err != nil:
		return nil, failed(plain(err))
	case len(s.data) > maxConfigBytes:
		return nil, failed(fmt.Sprintf("it is longer than %d bytes", maxConfigBytes))
	}
	var document yaml.Node
	if err := yaml.Unmarshal(s.data, &document); err != nil {
		s.wrong = append(s.wrong, syntaxMistake(err))
		return nil, nil
	}
	if len(document.Content) == 0 || document.Content[0].Tag == "!!null" {
		return nil, nil
	}
	if n := document.Content[0]; n.Kind != yaml.MappingNode {
		s.note(n, "lines  key: value  are wanted", "")
		return nil, nil
	}
	return document.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// syntaxMistake is what the YAML reader has against a file, at the line that it names.
func syntaxMistake(err error) mistake {
	parts := yamlLine.FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(parts[1])
	return mistake{max(1, line), 1, fmt.Sprintf("this is no YAML: %.200s", err.Error()[len(parts[0]):]), ""}
}

func (s *settings) note(n *yaml.Node, text, hint string) {
	s.wrong = append(s.wrong, mistake{n.Line, n.Column, text, hint})
}

func (s *settings) takeFile(document *yaml.Node) {
	if document == nil {
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(document.Content); i += 2 {
		key, value := document.Content[i], document.Content[i+1]
		flag := s.flag(key.Value)
		switch {
		case flag == nil:
			s.note(key, fmt.Sprintf("there is no key %.100q", key.Value), s.otherKey(key.Value))
		case seen[key.Value]:
			s.note(key, fmt.Sprintf("%q is there twice", key.Value), "")
		case flag.Changed: // the command line is stronger
		default:
			if err := setFromFile(flag, value); err != nil {
				s.note(value, key.Value+": "+err.Error(), "")
			} else {
				s.origins[flag.Name] = origin{s.file, value.Line, value.Column}
			}
		}
		seen[key.Value] = true
	}
}

// takeEnvironment has variables take the place of what the file says.
func (s *settings) takeEnvironment() {
	s.each(func(flag *pflag.Flag) {
		name := envName(flag.Name)
		value := os.Getenv(name)
		switch {
		case flag.Changed:
			s.origins[flag.Name] = origin{from: commandLine}
		case value == "":
		default:
			if err := setText(flag, value); err != nil {
				s.wrong = append(s.wrong, mistake{text: name + ": " + err.Error()})
			}
			s.origins[flag.Name] = origin{from: name}
		}
	})
}

// envName is the variable of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// each calls do for all flags that are settings: those of the verb, and the files by which it shows who it is.
func (s *settings) each(do func(*pflag.Flag)) {
	s.c.Flags().VisitAll(func(f *pflag.Flag) {
		if s.flag(f.Name) != nil {
			do(f)
		}
	})
}

// flag is the flag of a key, nil if there is none that may be in a file.
func (s *settings) flag(key string) *pflag.Flag {
	if key == "config" || key == "help" {
		return nil
	}
	if f := s.c.LocalNonPersistentFlags().Lookup(key); f != nil {
		return f
	}
	if strings.HasPrefix(key, "tls-") || key == "token-file" && s.c.Name() == "agent" {
		return s.c.InheritedFlags().Lookup(key)
	}
	return nil
}

// setFromFile gives a flag its value: a list only to one that takes several.
func setFromFile(flag *pflag.Flag, value *yaml.Node) error {
	list, takesList := flag.Value.(pflag.SliceValue)
	switch {
	case value.Kind == yaml.SequenceNode && takesList:
		var values []string
		for _, v := range value.Content {
			if v.Kind != yaml.ScalarNode {
				return errors.New("a list of plain values is wanted")
			}
			values = append(values, v.Value)
		}
		return list.Replace(values)
	case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
		return errors.New("a plain value is wanted")
	}
	return setText(flag, value.Value)
}

// setText gives a flag the value that a text stands for.
func setText(flag *pflag.Flag, text string) error {
	if list, takesList := flag.Value.(pflag.SliceValue); takesList {
		return list.Replace(strings.Split(text, ","))
	}
	if err := flag.Value.Set(text); err != nil {
		return fmt.Errorf("%.100q is not %s", text, typeWords(flag))
	}
	return nil
}

// typeWords says what a flag takes.
func typeWords(flag *pflag.Flag) string {
	switch kind := flag.Value.Type(); kind {
	case "int":
		return "a whole number"
	case "bool":
		return "true or false"
	case "duration":
		return "a time such as 5s or 300ms"
	default:
		return "a " + kind
	}
}

// otherKey says what may have been meant by a key that there is not.
func (s *settings) otherKey(key string) string {
	var known []string
	s.each(func(f *pflag.Flag) { known = append(known, f.Name) })
	if near := didYouMean(key, known); near != "" {
		return near
	}
	a := &app{}
	for _, other := range []*cobra.Command{a.startCommand(&startFlags{}), a.agentCommand(&agentFlags{})} {
		if other.Name() != s.c.Name() && other.Flags().Lookup(key) != nil && key != "config" {
			return "it is one of node " + other.Name()
		}
	}
	return ""
}

var flagNamed = regexp.MustCompile(`--([a-z-]+)`)

// place finds where the first flag that an error names has got its value, if that was not the command line.
func (s *settings) place(e *api.Error) (key string, o origin) {
	for _, m := range flagNamed.FindAllStringSubmatch(e.Message+" "+e.Why, -1) {
		if o := s.origins[m[1]]; s.flag(m[1]) != nil && o.from != "" && o.from != commandLine {
			return m[1], o
		}
	}
	return "", origin{}
}

// placed adds to an error where the value that it is about is from.
func (s *settings) placed(err error) error {
	e, is := errors.AsType[*api.Error](err)
	if !is {
		return err
	}
	key, o := s.place(e)
	if key == "" {
		return err
	}
	m := mistake{line: o.line, column: o.column, text: key}
	if o.line == 0 {
		m.text = "it is from " + o.from
	}
	e.Why = strings.TrimPrefix(e.Why+"\n"+showMistakes(o.from, s.data, []mistake{m}), "\n")
	return err
}
