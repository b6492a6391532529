package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/synod-go/synod/api"
)

// newLogger returns the logger of a node. "auto" is text on a terminal and JSON
// otherwise.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there is no log level %q", level), Why: "--log-level is debug, info, warn or error"}
	}
	if format == "auto" {
		format = "json"
		if isTerminal(w) {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(&lineHandler{out: w, level: least, mu: &sync.Mutex{}}), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least, ReplaceAttr: timesAsText})), nil
	}
	return nil, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there is no log format %q", format), Why: "--log-format is auto, text or json"}
}

// timesAsText writes a time as 63.2ms: a bare number does not tell its unit.
func timesAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// lineHandler writes a record as people read it: time of day, level if it is
// not info, event, then the attributes. The node's own name is left out: it stands in
// front of the line, or there is only one.
type lineHandler struct {
	out   io.Writer
	level slog.Level
	attrs string // of With, already written
	group string
	mu    *sync.Mutex
}

func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	line.WriteString(r.Time.Format("15:04:05.000 "))
	if r.Level != slog.LevelInfo {
		line.WriteString(strings.ToLower(r.Level.String()) + ": ")
	}
	line.WriteString(r.Message + h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		line.WriteString(h.attr(a))
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.out, line.String()+"\n")
	return err
}

func (h *lineHandler) attr(a slog.Attr) string {
	value := a.Value.Resolve().String()
	if a.Key == "node" || value == "" || value == "0" {
		return ""
	}
	if strings.ContainsAny(value, " \n\"") {
		value = fmt.Sprintf("%q", value)
	}
	return " " + h.group + a.Key + "=" + value
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.attrs += h.attr(a)
	}
	return &with
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.group += name + "."
	return &with
}
