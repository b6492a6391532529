package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/jobs"
	"github.com/synod-go/synod/jobs/jobfile"
)

// runner hands jobs to the cluster and shows how they come to run.
type runner struct {
	*app
	rolloutFlags
	update bool // the jobs must be there
	expect uint64
	// Of a job that is described by flags.
	name    string
	count   int
	cpus    float64
	memory  string
	image   string
	service bool
}

func (a *app) runCommand() *cobra.Command {
	r := &runner{app: a}
	c := &cobra.Command{
		Use: "run FILE... | run --name JOB [--image IMAGE] -- CMD [ARG...]", Short: "run the jobs of a file, or a command once", Args: cobra.ArbitraryArgs,
		Long: "Hand the jobs that FILE describes to the cluster, - is standard input, and show how they come to run. A job that is\n" +
			"there already is changed, as update does. With --name and a command behind -- a job is made of that command alone: it\n" +
			"runs once, or with --service is kept running. With --image it is a container, CMD replaces the image's arguments, and may\n" +
			"be left out.\n\n" +
			"The verb ends when all instances of a service run and are healthy, or, for a job that ends, when they have started;\n" +
			"with --wait when they have ended. Exit code 9: for --patience an instance could not be placed on any agent. 1: the\n" +
			"job has failed, or an update has and was rolled back. 8: it takes longer than --within. The job goes on in any case:\n" +
			"node stop JOB  ends it. A file, of which docs/jobs.md has all:\n\n" +
			"  name: web\n  count: 2\n  shell: exec python3 -m http.server $PORT   # or  exec: [PROGRAM, ARGUMENT]\n  ports: [http]\n" +
			"  memory: 64MiB\n  health: {http: /, port: http}               # with  once: true  a job that ends",
		Example: a.example("run hello.yaml", "run --name backup --wait -- ./backup.sh --all", "run --name web --image web:1 --service", "run web.yaml --detach"),
		RunE:    func(c *cobra.Command, args []string) error { return r.run(c, args) },
	}
	r.rolloutFlags.add(c)
	flags := c.Flags()
	flags.Uint64Var(&r.expect, "expect", 0, "change the job only if it has this version; 0: whatever it has")
	flags.StringVar(&r.name, "name", "", "name of the job that is made of a command")
	flags.IntVar(&r.count, "count", 1, "with a command: how many instances")
	flags.Float64Var(&r.cpus, "cpus", 0.1, "with a command: CPUs of each")
	flags.StringVar(&r.memory, "memory", "64MiB", "with a command: memory of each")
	flags.StringVar(&r.image, "image", "", "with a command, or in its place: the image of the containers, on agents with Docker")
	flags.BoolVar(&r.service, "service", false, "with a command: keep it running")
	return c
}

func (a *app) updateCommand() *cobra.Command {
	r := &runner{app: a, update: true}
	c := &cobra.Command{
		Use: "update FILE...", Short: "change jobs that run, a few instances at a time", Args: cobra.MinimumNArgs(1),
		Long: "Change the jobs that FILE describes, which must be there, and show how their instances are replaced, as many at a\n" +
			"time as the file's update says. When a new one does not come to run, or is not healthy in time, what was before\n" +
			"comes back, and the exit code is 1. Somebody else's change of one job in between is not overwritten: exit code 7.",
		Example: a.example("update web.yaml", "update web.yaml --detach"),
		RunE:    func(c *cobra.Command, args []string) error { return r.run(c, args) },
	}
	r.rolloutFlags.add(c)
	c.Flags().Uint64Var(&r.expect, "expect", 0, "change the job only if it has this version; 0: the one that it has when the verb begins")
	return c
}

func (r *runner) run(c *cobra.Command, args []string) error {
	files, command := splitCommand(c, args)
	if err := r.rolloutFlags.check(); err != nil {
		return err
	}
	documents, err := r.documents(c, files, command)
	if err != nil {
		return err
	}
	client, err := r.client()
	if err != nil {
		return err
	}
	ctx := c.Context()
	var changed []api.Changed
	for _, d := range documents {
		done, err := r.put(ctx, client, d)
		if err != nil {
			return err
		}
		changed = append(changed, done...)
	}
	return r.follow(ctx, r.app, client, changed)
}

// document is a file of jobs.
type document struct {
	name  string
	data  []byte
	specs []jobs.Spec
}

// documents reads what is to run, before anything of it does.
func (r *runner) documents(c *cobra.Command, files, command []string) (list []document, err error) {
	made := len(command) > 0 || r.image != ""
	switch {
	case made && (r.update || len(files) > 0 || r.name == ""):
		return nil, r.usageError(c, "a command behind --, and --image, take --name JOB, and no file")
	case made:
		data, err := r.describe(command)
		if err != nil {
			return nil, err
		}
		files = []string{"--name " + r.name}
		list = []document{{name: files[0], data: data}}
	case len(files) == 0:
		return nil, r.usageError(c, "it takes a FILE, or --name JOB and a command behind -- or --image")
	case r.name != "":
		return nil, r.usageError(c, "--name is for a command behind --")
	default:
		for _, name := range files {
			data, err := r.readJobs(c.Context(), name)
			if err != nil {
				return nil, err
			}
			list = append(list, document{name: name, data: data})
		}
	}
	jobs := 0
	in := map[string]string{}
	for i := range list {
		if list[i].specs, err = jobfile.Parse(list[i].data); err != nil {
			return nil, fileError(list[i].name, list[i].data, err)
		}
		for _, s := range list[i].specs {
			if before := in[s.Name]; before != "" {
				return nil, &api.Error{Code: api.CodeUsage, Message: fmt.Sprintf("there are two jobs with the name %s", s.Name), Why: before + " and " + list[i].name + " describe it"}
			}
			in[s.Name] = list[i].name
		}
		jobs += len(list[i].specs)
	}
	if r.expect > 0 && jobs != 1 {
		return nil, r.usageError(c, fmt.Sprintf("--expect is for one job, and there are %d", jobs))
	}
	return list, nil
}

// maxJobFile is how many bytes a file of jobs may have.
const maxJobFile = 1 << 20

// readJobs reads a file of jobs, or standard input for -.
func (r *runner) readJobs(ctx context.Context, name string) ([]byte, error) {
	if name != "-" {
		return readJobFile(name, nil)
	}
	return input(ctx, r.app, "jobs are read from this terminal: Ctrl-D at the beginning of a line ends them", func(in io.Reader) ([]byte, error) { return readJobFile(name, in) })
}

func readJobFile(name string, in io.Reader) ([]byte, error) {
	from := in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			if inner := errors.Unwrap(err); inner != nil {
				err = inner
			}
			return nil, &api.Error{Code: api.CodeUsage, Message: "the file " + name + " cannot be read", Why: plain(err), Do: []string{"node run --help  shows how a job is written"}}
		}
		defer f.Close()
		from = f
	}
	data, err := io.ReadAll(io.LimitReader(from, maxJobFile+1))
	if err == nil && len(data) > maxJobFile {
		err = errors.New("it has more than 1 MiB")
	}
	if err != nil {
		return nil, &api.Error{Code: api.CodeUsage, Message: "the file " + name + " cannot be read", Why: plain(err)}
	}
	return data, nil
}

// describe writes a job of one command. JSON is YAML.
func (r *runner) describe(command []string) ([]byte, error) {
	text, err := json.Marshal(command)
	if err != nil {
		return nil, err
	}
	data := fmt.Appendf(nil, "name: %s\ncount: %d\ncpus: %g\nmemory: %s\n", quote(r.name), r.count, r.cpus, quote(r.memory))
	if len(command) > 0 {
		data = fmt.Appendf(data, "exec: %s\n", text)
	}
	if r.image != "" {
		data = fmt.Appendf(data, "runtime: docker\nimage: %s\n", quote(r.image))
	}
	if !r.service { // once, whatever comes of it
		data = append(data, "once: true\nrestart: {on: never}\n"...)
	}
	return data, nil
}

func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string always encodes
	return string(quoted)
}

// fileError shows all that is wrong with a file of jobs, with its lines.
func fileError(name string, data []byte, err error) error {
	e := &api.Error{Code: api.CodeUsage, Message: name + " does not describe a job that can run"}
	wrong, is := errors.AsType[*jobfile.Error](err)
	if !is {
		e.Why = plain(err)
		return e
	}
	var list []mistake
	for _, p := range wrong.Problems {
		list = append(list, mistake{p.Line, p.Column, p.Text, p.Hint})
	}
	e.Why = showMistakes(name, data, list)
	return e
}

// put hands one file to the cluster. An update finds out before which versions there are.
func (r *runner) put(ctx context.Context, client *api.Client, d document) ([]api.Changed, error) {
	expect := r.expect
	if r.update {
		for _, s := range d.specs {
			j, err := client.Job(ctx, s.Name)
			if api.CodeOf(err) == api.CodeNotFound {
				return nil, &api.Error{Code: api.CodeNotFound, Message: fmt.Sprintf("there is no job %q to update", s.Name), Do: []string{"node run " + d.name}}
			}
			if err != nil {
				return nil, err
			}
			if expect == 0 && len(d.specs) == 1 {
				expect = j.Version
			}
		}
	}
	return client.PutJobs(ctx, d.data, expect)
}

// rolloutFlags are what all verbs take that change jobs.
type rolloutFlags struct {
	detach, wait     bool
	within, patience time.Duration
}

func (f *rolloutFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVarP(&f.detach, "detach", "d", false, "do not wait until it runs")
	flags.BoolVar(&f.wait, "wait", false, "wait until jobs that end have ended")
	flags.DurationVar(&f.within, "within", 10*time.Minute, "how long to wait at most, without --wait")
	flags.DurationVar(&f.patience, "patience", 10*time.Second, "how long to wait for an agent with room")
}

func (f *rolloutFlags) check() error {
	if f.within <= 0 || f.patience <= 0 {
		return &api.Error{Code: api.CodeUsage, Message: "--within and --patience must be above 0", Do: []string{"--within 10m --patience 10s"}}
	}
	return nil
}

// follow shows how changed jobs come to run, unless that is not wanted, and answers with them.
func (f *rolloutFlags) follow(ctx context.Context, a *app, client *api.Client, changed []api.Changed) error {
	if f.detach {
		return a.answer(changed, func(w io.Writer) {
			for _, c := range changed {
				fmt.Fprintf(w, "%s version %d\n", c.Name, c.Version)
			}
		})
	}
	list := []api.Job{}
	for _, c := range changed {
		r := &rollout{app: a, flags: f, client: client, name: c.Name, version: c.Version}
		j, err := r.follow(ctx)
		if err != nil {
			return err
		}
		list = append(list, j)
	}
	return a.answer(list, func(w io.Writer) {
		for _, j := range list {
			fmt.Fprintln(w, rolledOut(j))
		}
	})
}

// rolledOut is a job that came to run, in a line.
func rolledOut(j api.Job) string {
	switch {
	case j.State == "done":
		return fmt.Sprintf("%s version %d is done: %d of %d ended well", j.Name, j.Version, j.Count, j.Count)
	case j.Kind == string(jobs.Timed):
		text := fmt.Sprintf("%s version %d waits for its time", j.Name, j.Version)
		if j.Next != 0 {
			text += ": " + time.UnixMilli(j.Next).UTC().Format("2006-01-02 15:04 MST")
		}
		return text
	}
	text := fmt.Sprintf("%s version %d runs: %d of %d", j.Name, j.Version, j.Running, j.Count)
	var at []string
	for _, i := range j.Instances {
		for _, port := range i.Ports {
			at = append(at, fmt.Sprintf(":%d", port))
		}
	}
	if len(at) > 0 && len(at) <= 9 {
		text += ", ports " + strings.Join(at, " ")
	}
	return text
}
