package chaos

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// toyEnvironment makes the test program a toy server with the named bug.
const toyEnvironment = "SYNOD_CHAOS_TOY"

func TestMain(m *testing.M) {
	JudgeMain()
	SpeakerMain()
	SchedulerMain()
	KeeperMain()
	if bug, ok := os.LookupEnv(toyEnvironment); ok {
		if err := runToy(bug); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	if programDir != "" {
		os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// Bugs of the toy.
const (
	toySound        = "sound"
	toyAckFirst     = "acknowledge before the write is in the file"
	toyNoSync       = "write without a flush"
	toyStale        = "read from a copy that lags"
	toyForget       = "forget request ids"
	toyTellsNothing = "refuse what it has done"
)

// toy is a store on one synced file that speaks the nodes' HTTP interface: the
// smallest program on which the whole harness can be tried out.
type toy struct {
	bug  string
	file *os.File

	mu       sync.Mutex
	index    uint64
	keys     map[string]wireEntry
	lagging  map[string]wireEntry
	requests map[string]wireEntry
}

type toyRecord struct {
	Key, Value, Request string
	Delete              bool
}

func runToy(bug string) error {
	flags := flag.NewFlagSet("toy", flag.ContinueOnError)
	dir, host := flags.String("data", "", ""), flags.String("listen", "", "")
	for _, ignored := range []string{"name", "voters", "join"} {
		flags.String(ignored, "", "")
	}
	flags.Bool("bootstrap", false, "")
	flags.Bool("insecure", false, "")
	if err := flags.Parse(os.Args[2:]); err != nil { // after "start"
		return err
	}
	t := &toy{bug: bug, index: 1, keys: map[string]wireEntry{}, lagging: map[string]wireEntry{}, requests: map[string]wireEntry{}}
	if err := t.open(*dir); err != nil {
		return err
	}
	go func() {
		for range time.Tick(300 * time.Millisecond) {
			t.mu.Lock()
			t.lagging = maps.Clone(t.keys)
			t.mu.Unlock()
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", t.status)
	mux.HandleFunc("GET /v1/kv/{path...}", t.get)
	mux.HandleFunc("PUT /v1/kv/{path...}", t.write)
	mux.HandleFunc("DELETE /v1/kv/{path...}", t.write)
	return http.ListenAndServe(*host+":4700", mux)
}

func (t *toy) open(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	t.file = file
	for s := bufio.NewScanner(file); s.Scan(); {
		var r toyRecord
		if json.Unmarshal(s.Bytes(), &r) != nil {
			break
		}
		t.apply(r)
	}
	directory, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

func (t *toy) apply(r toyRecord) wireEntry {
	t.index++
	e := wireEntry{Path: r.Key, Value: r.Value, Version: t.keys[r.Key].Version + 1, Modified: t.index, Index: t.index}
	if r.Delete {
		e.Version = 0
		delete(t.keys, r.Key)
	} else {
		t.keys[r.Key] = e
	}
	if r.Request != "" && t.bug != toyForget {
		t.requests[r.Request] = e
	}
	return e
}

func (t *toy) persist(r toyRecord) {
	line, _ := json.Marshal(r)
	_, err := t.file.Write(append(line, '\n'))
	if err == nil && t.bug != toyNoSync {
		err = t.file.Sync()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (t *toy) status(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	json.NewEncoder(w).Encode(NodeStatus{Node: "n1", Role: "leader", Leader: "n1", Term: 1, Voters: 1, Applied: t.index})
}

func (t *toy) get(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := t.keys
	if t.bug == toyStale {
		keys = t.lagging
	}
	w.Header().Set(headerIndex, strconv.FormatUint(t.index, 10))
	if r.URL.Query().Has("list") {
		page := struct {
			Entries []wireEntry `json:"entries"`
			Index   uint64      `json:"index"`
		}{slices.Collect(maps.Values(t.keys)), t.index}
		json.NewEncoder(w).Encode(page)
		return
	}
	if e, ok := keys[r.PathValue("path")]; ok {
		json.NewEncoder(w).Encode(e)
		return
	}
	toyFail(w, http.StatusNotFound, "E-NOTFOUND")
}

func toyFail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(wireError{Code: code})
}

func (t *toy) write(w http.ResponseWriter, r *http.Request) {
	body := new(strings.Builder)
	bufio.NewReader(r.Body).WriteTo(body)
	record := toyRecord{Key: r.PathValue("path"), Value: body.String(), Request: r.Header.Get(headerRequest), Delete: r.Method == http.MethodDelete}
	t.mu.Lock()
	e, status, code := t.decide(r, record)
	slow := e.Index%60 == 59 && status == 0
	t.mu.Unlock()
	if slow {
		time.Sleep(1100 * time.Millisecond) // longer than any client waits
	}
	switch {
	case status != 0:
		toyFail(w, status, code)
	case t.bug == toyTellsNothing && e.Index%20 == 19:
		toyFail(w, http.StatusServiceUnavailable, "E-NOLEADER")
	default:
		w.Header().Set(headerIndex, strconv.FormatUint(e.Index, 10))
		json.NewEncoder(w).Encode(e)
	}
}

func (t *toy) decide(r *http.Request, record toyRecord) (e wireEntry, status int, code string) {
	if e, again := t.requests[record.Request]; again && record.Request != "" {
		return e, 0, ""
	}
	now := t.keys[record.Key].Version
	if record.Delete && now == 0 {
		return e, http.StatusNotFound, "E-NOTFOUND"
	}
	if query := r.URL.Query(); query.Has("version") && query.Get("version") != strconv.FormatUint(now, 10) {
		return e, http.StatusPreconditionFailed, "E-CONFLICT"
	}
	if t.bug == toyAckFirst {
		time.AfterFunc(50*time.Millisecond, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.persist(record)
		})
		return t.apply(record), 0, ""
	}
	t.persist(record)
	return t.apply(record), 0, ""
}
