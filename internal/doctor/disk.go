package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/synod-go/synod/storage"
)

const (
	flushProbes = 50
	probeBytes  = 4096
	// slowFlush makes writes slow, and slowestFlush is as long as a follower waits for its leader by default: a disk of which
	// half of the flushes take longer keeps no leader.
	slowFlush, slowestFlush = 25 * time.Millisecond, 300 * time.Millisecond

	// fewFlushes are too few to say of a disk that it is always so.
	fewFlushes = 3

	// leastFree is what a new node needs, and fewFree about a minute of heavy writing more.
	leastFree, fewFree = 200 << 20, 1 << 30
)

// dataDir writes as the log does, and tells how long the disk takes.
func dataDir(ctx context.Context, m Machine) Finding {
	dir, err := existing(m.Dir)
	if err != nil {
		return Finding{State: Fail, Value: err.Error(), Do: "choose another --data, or make its parent:  mkdir -p " + filepath.Dir(m.Dir)}
	}
	took, err := flushes(ctx, dir)
	if err != nil {
		return Finding{State: Fail, Value: dir + " cannot be written: " + reason(err), Do: "ls -ld " + dir + "  and start the node as its owner"}
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[(len(took)*99+99)/100-1]
	f := Finding{State: OK, Value: fmt.Sprintf("%s: flush p50 %s, p99 %s of %d", dir, rounded(p50), rounded(p99), len(took))}
	switch {
	case inMemory(dir):
		f.State, f.Do = Warn, "choose a --data on a disk: what is in memory is gone after a power cut"
		f.Value += ", in memory"
	case p50 > slowestFlush:
		f.State, f.Do = Fail, "give the node a disk of its own, or a longer  --election"
	case p99 > slowFlush:
		f.State, f.Do = Warn, "look who else writes there:  iostat -x 1"
	}
	return f
}

// existing is the directory, or the first one above it that is there.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	for err == nil {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is not a directory", dir)
		case err == nil:
			return dir, nil
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return "", fmt.Errorf("%s: %s", dir, reason(err))
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// flushes writes and flushes until it has done so often enough or ctx ends, once at least.
func flushes(ctx context.Context, dir string) (took []time.Duration, err error) {
	name := filepath.Join(dir, fmt.Sprintf(".doctor-%d", os.Getpid()))
	disk := storage.OS()
	file, err := disk.Open(name, storage.Create)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := disk.Remove(name); err != nil { // it stays open
		return nil, err
	}
	block := []byte(strings.Repeat("synod", probeBytes/5+1))[:probeBytes]
	for i := range flushProbes {
		began := time.Now()
		if _, err := file.WriteAt(block, int64(i)*probeBytes); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		if ctx.Err() != nil && len(took) >= fewFlushes {
			break
		}
	}
	return took, nil
}

func space(_ context.Context, m Machine) Finding {
	dir, err := existing(m.Dir)
	if err != nil {
		return Finding{State: Fail, Value: err.Error(), Do: "choose another  --data"}
	}
	free, err := storage.OS().Free(dir)
	if err != nil {
		return Finding{State: Warn, Value: reason(err), Do: "df -h " + dir}
	}
	f := Finding{State: OK, Value: fmt.Sprintf("%.1f GiB free at %s", float64(free)/(1<<30), dir)}
	switch {
	case free < leastFree:
		f.State, f.Do = Fail, "free space on it: a new node needs about 200 MiB:  df -h "+dir
	case free < fewFree:
		f.State, f.Do = Warn, "free space on it:  df -h "+dir
	}
	return f
}

func rounded(d time.Duration) time.Duration {
	if d > time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// reason is an error's last word, without operation and path.
func reason(err error) string {
	if path, is := errors.AsType[*fs.PathError](err); is {
		return path.Err.Error()
	}
	text := err.Error()
	if at := strings.LastIndex(text, ": "); at >= 0 {
		return text[at+2:]
	}
	return text
}
