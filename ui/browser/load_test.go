package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// batch is how many writes go together.
const batch = 50

// load writes for some time, at most writes a second, and returns when each was acknowledged, in Unix
// milliseconds, and at which index.
func load(ctx context.Context, addr string, how time.Duration) (acks [][2]int64) {
	ctx, cancel := context.WithTimeout(ctx, how)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	tokens := make(chan struct{}, 5)
	go func() {
		tick := time.NewTicker(batch * time.Second / writes)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			select {
			case tokens <- struct{}{}:
			default: // the cluster is slower
			}
		}
	}()
	var mu sync.Mutex
	var wait sync.WaitGroup
	for n := range 16 {
		wait.Go(func() {
			for {
				select {
				case <-tokens:
				case <-ctx.Done():
					return
				}
				indexes := put(ctx, client, "http://"+addr+"/v1/batch", n)
				mu.Lock()
				for _, index := range indexes {
					acks = append(acks, [2]int64{time.Now().UnixMilli(), index})
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return acks
}

// put makes a batch of writes and returns the indexes of those that were done.
func put(ctx context.Context, client *http.Client, at string, n int) (indexes []int64) {
	var lines strings.Builder
	for i := range batch {
		fmt.Fprintf(&lines, `{"method":"PUT","path":"load/%d","value":"x"}`+"\n", n*batch+i)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(lines.String()))
	if err != nil {
		return nil
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	for decoder := json.NewDecoder(answer.Body); ; {
		var one struct {
			Status int   `json:"status"`
			Index  int64 `json:"index"`
		}
		if decoder.Decode(&one) != nil {
			return indexes
		}
		if one.Status == http.StatusOK {
			indexes = append(indexes, one.Index)
		}
	}
}
