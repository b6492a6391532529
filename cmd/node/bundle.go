package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/synod-go/synod/api"
)

const (
	// bundleEach bounds each document of a bundle, in bytes, and bundleDocuments how many there may be: together
	// some 200 MiB before they are compressed.
	bundleEach, bundleDocuments = 1 << 20, 200
	// bundlePatience is for one document.
	bundlePatience = 2 * time.Second
)

// bundledDocument is one file of a bundle, and a line of its manifest.
type bundledDocument struct {
	File  string `json:"file"`
	Bytes int    `json:"bytes"`
	// Cut: there was more of it. Missing says why it is not there.
	Cut     bool   `json:"cut,omitempty"`
	Missing string `json:"missing,omitempty"`
	body    []byte
}

// bundled is the answer of "bundle", and the manifest in it.
type bundled struct {
	File      string            `json:"file"`
	Version   versionInfo       `json:"version"`
	Time      time.Time         `json:"time"`
	Documents []bundledDocument `json:"documents"`
}

func (a *app) bundleCommand() *cobra.Command {
	f := &startFlags{}
	c := &cobra.Command{
		Use: "bundle FILE", Short: "gather what a bug report needs", Args: cobra.ExactArgs(1),
		Long: "Gather from all nodes that answer what a bug report needs: versions, the settings of --config, status, members, checks,\n" +
			"metrics, recent events, flight recorders, agents, tasks, jobs and happenings, what doctor says, and with --profile-port the stacks\n" +
			"of the node on this machine. Keys, tokens, passwords, commands and environments of tasks are left out or blotted out,\n" +
			"values of keys are never asked for; names of nodes, keys and jobs are in it. Each document has at most 1 MiB. A node that\n" +
			"is down fails nothing: manifest.json says what is missing and why. The file has mode 0600, and must not exist.",
		Example: a.example("bundle report.tar.gz", "bundle report.tar.gz --config server1.yaml --addr 10.0.0.1:4700"),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := settleFlags(c, f.config); err != nil {
				return err
			}
			return a.bundle(c, f, args[0])
		},
	}
	f.add(c)
	c.Flags().VisitAll(func(flag *pflag.Flag) { flag.Hidden = !doctorUses[flag.Name] && flag.Name != "profile-port" })
	return c
}

func (a *app) bundle(c *cobra.Command, f *startFlags, name string) error {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return &api.Error{Code: api.CodeConflict, Message: name + " exists and is not replaced", Do: []string{"move it away, or use another name"}}
	}
	if err != nil {
		return &api.Error{Code: api.CodeData, Message: name + " cannot be made", Why: plain(err)}
	}
	answer := bundled{File: name, Version: ownVersion(), Time: time.Now().UTC()}
	answer.Documents = a.gatherBundle(c, f)
	err = errors.Join(writeBundle(out, answer), out.Close())
	if err != nil {
		_ = os.Remove(name) // half of it is of no use
		return &api.Error{Code: api.CodeData, Message: name + " cannot be written", Why: plain(err)}
	}
	return a.answer(answer, func(w io.Writer) {
		missing := 0
		for _, d := range answer.Documents {
			if d.Missing != "" {
				missing++
				fmt.Fprintf(w, "missing  %s: %s\n", d.File, d.Missing)
			}
		}
		fmt.Fprintf(w, "%s: %d documents, %d are missing\n", name, len(answer.Documents)-missing, missing)
	})
}

// writeBundle writes the manifest and the documents.
func writeBundle(w io.Writer, b bundled) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	manifest, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	for _, d := range append([]bundledDocument{{File: "manifest.json", body: manifest}}, b.Documents...) {
		if d.Missing != "" {
			continue
		}
		if err := archive.WriteHeader(&tar.Header{Name: "synod/" + d.File, Mode: 0o600, Size: int64(len(d.body)), ModTime: b.Time}); err != nil {
			return err
		}
		if _, err := archive.Write(d.body); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zipped.Close())
}

// question is what is asked of a node.
type question struct {
	file, path, accept string
	patience           time.Duration
}

// ofEach is asked of each node, ofAny of one that answers.
var (
	ofEach = []question{
		{"status.json", "/v1/status?local=true", "application/json", bundlePatience},
		{"ready.json", "/readyz", "application/json", bundlePatience},
		{"metrics.txt", "/metrics", "text/plain", bundlePatience},
		{"events.ndjson", "/v1/events?past=true", "application/x-ndjson", bundlePatience},
		{"flight-coordination.json", "/v1/groups/" + coordinationGroup + "/flight", "application/json", bundlePatience},
		{"flight-registry.json", "/v1/groups/" + registryGroup + "/flight", "application/json", bundlePatience},
	}
	ofAny = []question{
		{"status.json", "/v1/status", "application/json", bundlePatience},
		{"members.json", "/v1/members", "application/json", bundlePatience},
		{"agents.json", "/v1/agents", "application/json", bundlePatience},
		{"tasks.json", "/v1/tasks", "application/json", bundlePatience},
		{"jobs.json", "/v1/jobs", "application/json", bundlePatience},
		{"frameworks.json", "/v1/frameworks", "application/json", bundlePatience},
		{"happenings.json", "/v1/happenings", "application/json", bundlePatience},
	}
)

// gatherBundle asks all nodes at once. What fails is a document that is missing.
func (a *app) gatherBundle(c *cobra.Command, f *startFlags) []bundledDocument {
	ctx := c.Context()
	documents := []bundledDocument{encoded("doctor.json", a.checkup(ctx, f)), encoded("settings.json", bundledSettings(c)), f.stacks(ctx)}
	client, err := a.client()
	if err != nil {
		return append(documents, bundledDocument{File: "cluster", Missing: plain(err)})
	}
	defer client.Close()
	addrs := map[string]string{}
	ask, cancel := context.WithTimeout(ctx, bundlePatience)
	members, err := client.Members(ask)
	cancel()
	for _, m := range members.Members {
		if m.API != "" && filepath.IsLocal(m.Name) {
			addrs[m.Name] = m.API
		}
	}
	if err != nil { // whoever was named may answer alone
		for i, addr := range a.addrs() {
			addrs[fmt.Sprintf("addr%d", i+1)] = addr
		}
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	put := func(d bundledDocument) { mu.Lock(); defer mu.Unlock(); documents = append(documents, d) }
	for _, name := range sortedKeys(addrs) {
		for _, q := range ofEach {
			wait.Go(func() { put(fetchDocument(ctx, client, filepath.Join(name, q.file), []string{addrs[name]}, q)) })
		}
	}
	for _, q := range ofAny {
		wait.Go(func() { put(fetchDocument(ctx, client, filepath.Join("cluster", q.file), a.addrs(), q)) })
	}
	wait.Wait()
	slices.SortFunc(documents, func(x, y bundledDocument) int { return strings.Compare(x.File, y.File) })
	for i := bundleDocuments; i < len(documents); i++ {
		documents[i].Missing, documents[i].body = "the bundle is full", nil
	}
	return documents
}

// fetchDocument asks the first of addrs that answers.
func fetchDocument(ctx context.Context, client *api.Client, file string, addrs []string, q question) bundledDocument {
	d := bundledDocument{File: file, Missing: "no address"}
	for _, addr := range addrs {
		ask, cancel := context.WithTimeout(ctx, q.patience)
		got, err := client.Fetch(ask, addr, q.path, q.accept, bundleEach)
		cancel()
		switch {
		case err != nil:
			d.Missing = api.Reason(err)
			continue
		case got.Status != http.StatusOK && q.path != "/readyz":
			d.Missing = http.StatusText(got.Status)
			continue
		}
		body := redactText(got.Body)
		if q.accept != "text/plain" {
			if body = redactJSON(got.Body); len(body) == 0 && len(got.Body) > 0 {
				d.Missing = "it is too long, or no JSON: nobody knows what is in it"
				return d
			}
		}
		return bundledDocument{File: file, Bytes: len(body), Cut: got.Cut, body: body}
	}
	return d
}

func encoded(file string, v any) bundledDocument {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return bundledDocument{File: file, Missing: plain(err)}
	}
	body = redactJSON(body)
	return bundledDocument{File: file, Bytes: len(body), body: body}
}

// bundledSettings are the values of all flags, by name.
func bundledSettings(c *cobra.Command) map[string]string {
	settings := map[string]string{}
	c.Flags().VisitAll(func(f *pflag.Flag) { settings[f.Name] = f.Value.String() })
	return settings
}

// stacks are the goroutines of the node on this machine.
func (f *startFlags) stacks(ctx context.Context) bundledDocument {
	d := bundledDocument{File: "goroutines.txt", Missing: "no --profile-port is given"}
	if f.profilePort == 0 {
		return d
	}
	ctx, cancel := context.WithTimeout(ctx, bundlePatience)
	defer cancel()
	at := url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", f.profilePort), Path: "/debug/pprof/goroutine", RawQuery: "debug=1"}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err == nil {
		var answer *http.Response
		if answer, err = http.DefaultClient.Do(request); err == nil {
			defer answer.Body.Close()
			d.body, err = io.ReadAll(io.LimitReader(answer.Body, bundleEach))
		}
	}
	if err != nil {
		d.Missing = plain(err)
		return d
	}
	return bundledDocument{File: d.File, Bytes: len(d.body), Cut: len(d.body) == bundleEach, body: d.body}
}
