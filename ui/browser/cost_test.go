package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pids are the processes of the nodes, as they are now.
func (c *cluster) pids(t *testing.T, at string) map[string]int {
	t.Helper()
	answer, err := http.Get("http://" + at + "/v1/faults")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct {
		Nodes []struct {
			Name string `json:"name"`
			PID  int    `json:"pid"`
		} `json:"nodes"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, n := range list.Nodes {
		pids[n.Name] = n.PID
	}
	return pids
}

// processorTime is what a process has used until now. The kernel counts it in hundredths of a second.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var sum time.Duration
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

// watch opens pages of a node, without a browser, until ctx ends, and counts their bytes and frames.
func watch(ctx context.Context, addr string, pages int, bytes, frames *atomic.Int64) (wait func()) {
	var all sync.WaitGroup
	for range pages {
		all.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/v1/page/events", nil)
			if err != nil {
				return
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				return
			}
			defer answer.Body.Close()
			lines := bufio.NewScanner(answer.Body)
			for lines.Buffer(nil, 1<<22); lines.Scan(); {
				bytes.Add(int64(len(lines.Bytes())))
				if strings.HasPrefix(lines.Text(), "data:") {
					frames.Add(1)
				}
			}
		})
	}
	return all.Wait
}

// What a page costs is measured where COST is set: the processor time of the node that serves none, one and eight of
// them, and of another follower, while nobody writes and while many do.
func TestWhatAPageCosts(t *testing.T) {
	const span = 6 * time.Second
	if os.Getenv("COST") == "" {
		t.Skip("it measures for two minutes: COST=1 go test -C ui/browser -run Costs -v .")
	}
	p := open(t, another(currentLeader(t))) // the browser is not used
	leader := currentLeader(t)
	serving := another(leader)
	other := another(leader, serving)
	pids := running.pids(t, running.addrs[serving])
	spent := map[string][]float64{} // milliseconds of processor time a second
	for range 3 {
		for _, busy := range []bool{false, true} {
			for _, pages := range []int{0, 1, 8} {
				ctx, cancel := context.WithTimeout(p.ctx, 4*time.Second+span)
				var bytes, frames atomic.Int64
				gone := watch(ctx, running.addrs[serving], pages, &bytes, &frames)
				<-time.After(4 * time.Second) // the looks for former pages have ended, those for these are under way
				before, beforeOther, began := processorTime(t, pids[serving]), processorTime(t, pids[other]), time.Now()
				bytesBefore, framesBefore, acks := bytes.Load(), frames.Load(), 0
				if busy {
					acks = len(load(ctx, running.addrs[leader], span-time.Second))
				}
				<-time.After(span - time.Second - time.Since(began))
				seconds := time.Since(began).Seconds()
				used := float64((processorTime(t, pids[serving]) - before).Milliseconds()) / seconds
				usedOther := float64((processorTime(t, pids[other]) - beforeOther).Milliseconds()) / seconds
				t.Logf("%5.0f writes/s, %d pages: %6.1f ms CPU a second where they are, %6.1f at another; %4.1f frames and %5.1f kB a second each", float64(acks)/seconds, pages,
					used, usedOther, float64(frames.Load()-framesBefore)/seconds/float64(max(pages, 1)), float64(bytes.Load()-bytesBefore)/seconds/1000/float64(max(pages, 1)))
				key := fmt.Sprintf("busy %v, %d pages", busy, pages)
				spent[key], spent[key+", another"] = append(spent[key], used), append(spent[key+", another"], usedOther)
				cancel()
				gone()
			}
		}
	}
	keys := []string{}
	for key, list := range spent {
		slices.Sort(list)
		keys = append(keys, fmt.Sprintf("%s: %.0f ms CPU a second (median of %d)", key, list[len(list)/2], len(list)))
	}
	slices.Sort(keys)
	t.Log(strings.Join(keys, "\n"))
}
