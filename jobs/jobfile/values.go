package jobfile

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/synod-go/synod/mesos"
)

// field is a key that a mapping may have, and what reads its value.
type field struct {
	key  string
	read func(n *yaml.Node)
}

// mapping reads the keys of a mapping, and returns where each stands.
func (p *parser) mapping(n *yaml.Node, what string, fields []field) map[string]*yaml.Node {
	where := map[string]*yaml.Node{}
	if n.Kind != yaml.MappingNode {
		p.at(n, "write  key: value", "%s is %s, must have keys", what, kindOf(n))
		return where
	}
	known := make([]string, len(fields))
	for i := range fields {
		known[i] = fields[i].key
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if where[key.Value] != nil {
			p.at(key, "", "%s has the key %.40q twice", what, key.Value)
			continue
		}
		where[key.Value] = value
		found := false
		for _, f := range fields {
			if f.key != key.Value || key.Kind != yaml.ScalarNode {
				continue
			}
			found = true
			if value.Kind == yaml.AliasNode {
				p.at(value, "write it out", "anchors and aliases are not taken")
			} else {
				f.read(value)
			}
		}
		if !found {
			hint := "known are " + strings.Join(known, ", ")
			if k := nearest(key.Value, known); k != "" {
				hint = "did you mean " + k + "?"
			}
			p.at(key, hint, "%s has the unknown key %.40q", what, key.Value)
		}
	}
	return where
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if n.Tag == "!!null" {
		return "empty"
	}
	return strconv.Quote(short(n.Value))
}

func short(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

func (p *parser) text(what string, to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			p.at(n, "", "%s is %s, must be a text", what, kindOf(n))
			return
		}
		*to = n.Value
	}
}

func (p *parser) flag(what string, to func(bool)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		var b bool
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&b) != nil {
			p.at(n, "write true or false", "%s is %s, must be true or false", what, kindOf(n))
			return
		}
		to(b)
	}
}

func (p *parser) number(what string, least, most int, to *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || v < least || v > most {
			p.at(n, "", "%s is %s, must be a whole number from %d to %d", what, kindOf(n), least, most)
			return
		}
		*to = v
	}
}

// span reads a duration, which is positive.
func (p *parser) span(what string, to *time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d, err := time.ParseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || d <= 0 {
			p.at(n, "write 10s, 2m or 1h30m", "%s is %s, must be a time", what, kindOf(n))
			return
		}
		*to = d
	}
}

// none is what a time of 0 is kept as, where 0 would be the default.
const none = time.Millisecond

// spanOrNone reads a duration that may be 0.
func (p *parser) spanOrNone(what string, to *time.Duration) func(*yaml.Node) {
	read := p.span(what, to)
	return func(n *yaml.Node) {
		if d, err := time.ParseDuration(n.Value); n.Kind == yaml.ScalarNode && err == nil && d == 0 {
			*to = none
			return
		}
		read(n)
	}
}

// cores reads a number with up to three decimals.
func (p *parser) cores(what string, to *mesos.Milli) func(*yaml.Node) {
	return func(n *yaml.Node) {
		f, err := strconv.ParseFloat(n.Value, 64)
		m, ok := mesos.MilliOf(f)
		if n.Kind != yaml.ScalarNode || err != nil || !ok || m == 0 {
			p.at(n, "write 0.25 or 2", "%s is %s, must be a number above 0", what, kindOf(n))
			return
		}
		*to = m
	}
}

// units of sizes, in MiB.
var units = []struct {
	name string
	mib  float64
}{{"KiB", 1. / 1024}, {"MiB", 1}, {"GiB", 1024}, {"TiB", 1 << 20}, {"kB", 1e3 / (1 << 20)}, {"KB", 1e3 / (1 << 20)}, {"MB", 1e6 / (1 << 20)}, {"GB", 1e9 / (1 << 20)}}

// size reads so much memory or disk: with a unit, or in MiB.
func (p *parser) size(what string, to *mesos.Milli) func(*yaml.Node) {
	return func(n *yaml.Node) {
		number, factor := n.Value, 1.
		for _, u := range units {
			if rest, ok := strings.CutSuffix(number, u.name); ok {
				number, factor = strings.TrimSpace(rest), u.mib
				break
			}
		}
		f, err := strconv.ParseFloat(number, 64)
		m, ok := mesos.MilliOf(math.Ceil(f*factor*1000) / 1000)
		if n.Kind != yaml.ScalarNode || err != nil || !ok || m == 0 {
			p.at(n, "write 64MiB or 2GiB", "%s is %s, must be a size", what, kindOf(n))
			return
		}
		*to = m
	}
}

// texts reads a list of texts.
func (p *parser) texts(what string, most int, to func(n *yaml.Node, s string)) func(*yaml.Node) {
	return p.list(what, most, func(n *yaml.Node) {
		var s string
		if p.text("an entry of "+what, &s)(n); n.Kind == yaml.ScalarNode {
			to(n, s)
		}
	})
}

func (p *parser) list(what string, most int, to func(n *yaml.Node)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			p.at(n, "write  [a, b]", "%s is %s, must be a list", what, kindOf(n))
			return
		}
		if len(n.Content) > most {
			p.at(n, "", "%s has %d entries, at most %d may be", what, len(n.Content), most)
			return
		}
		for _, c := range n.Content {
			to(c)
		}
	}
}

// texted reads a mapping of texts, whatever their keys are.
func (p *parser) texted(what string, most int, to *map[string]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode || len(n.Content) > 2*most {
			p.at(n, "write  {KEY: value}", "%s is %s, must be at most %d keys with texts", what, kindOf(n), most)
			return
		}
		*to = map[string]string{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			if _, twice := (*to)[key.Value]; twice || key.Value == "" || key.Kind != yaml.ScalarNode {
				p.at(key, "", "%s has the key %.40q twice, or an empty one", what, key.Value)
				continue
			}
			var s string
			p.text(what+"."+short(key.Value), &s)(value)
			(*to)[key.Value] = s
		}
	}
}
