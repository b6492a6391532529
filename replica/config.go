package replica

import (
	"fmt"
	"time"
)

// Config is how a [Replica] is set up. The zero Config takes all defaults.
type Config struct {
	// Limits must be the same on all replicas of a group.
	Limits Limits
	// DigestHistory is how many checkpoints of the digest are kept for
	// [Replica.DigestAt]. Default 64.
	DigestHistory int
}

// Limits bound what a replica remembers. Since they decide about results, they
// are part of the replicated state: a snapshot brings those it was made under,
// and those of Config count only for a replica that starts empty. Replicas that
// start with different Limits have different digests.
type Limits struct {
	// Sessions is how many there may be at a time. Default 10,000.
	Sessions int
	// SessionWindow is how far ahead of the first unacknowledged one a sequence
	// number may be. At most 65,536. Default 1024.
	SessionWindow int
	// SessionBytes is how many bytes of unacknowledged replies a session may
	// hold before further commands of it are refused; the last reply before
	// that may exceed it. Default 1 MiB.
	SessionBytes int64
	// ReplyBytes is the same for all sessions together. Default 256 MiB.
	ReplyBytes int64
	// SessionTimeout is how long a session lives without a command, if its
	// registration asks for nothing else. Whole milliseconds. Default 10
	// minutes.
	SessionTimeout time.Duration
	// SessionTimeoutMax is the most that a registration may ask for. Default
	// 24 hours.
	SessionTimeoutMax time.Duration
	// Requests is how many results of commands with a request id are kept, and
	// RequestBytes how many bytes they may have together, with 64 for each. At a
	// steady rate the retention is what fits: by default, with results of 24
	// bytes, 38 s at 20,000 commands a second, all of RequestRetention up to 1,270.
	// Clients that need more have a session. Defaults 2^20 and 64 MiB.
	Requests     int
	RequestBytes int64
	// RequestRetention is for how long, by log time, the result of a command with
	// a request id is kept after it ran. Whole milliseconds. Default 10 minutes.
	RequestRetention time.Duration
	// RequestSkew is how far ahead of the leader a request id may be: of log time
	// or of its wall clock, whichever is later. Such an id is kept for that much
	// longer. Whole milliseconds. Default 1 hour.
	RequestSkew time.Duration
	// DigestEvery is the distance in entries between two checkpoints of the
	// digest. Default 4096.
	DigestEvery uint64
}

func (c Config) withDefaults() Config {
	l := &c.Limits
	setDefault(&c.DigestHistory, 64)
	setDefault(&l.Sessions, 10_000)
	setDefault(&l.SessionWindow, 1024)
	setDefault(&l.SessionBytes, 1<<20)
	setDefault(&l.ReplyBytes, 256<<20)
	setDefault(&l.SessionTimeout, 10*time.Minute)
	setDefault(&l.SessionTimeoutMax, max(24*time.Hour, l.SessionTimeout))
	setDefault(&l.Requests, 1<<20)
	setDefault(&l.RequestBytes, 64<<20)
	setDefault(&l.RequestRetention, 10*time.Minute)
	setDefault(&l.RequestSkew, time.Hour)
	setDefault(&l.DigestEvery, 4096)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) check() error {
	if c.DigestHistory < 1 {
		return fmt.Errorf("replica: DigestHistory is %d, must be at least 1", c.DigestHistory)
	}
	return c.Limits.check()
}

// limitNames are the fields in the order of [Limits.values].
var limitNames = [limitCount]string{"Sessions", "SessionWindow", "SessionBytes", "ReplyBytes", "SessionTimeout",
	"SessionTimeoutMax", "Requests", "RequestBytes", "RequestRetention", "RequestSkew", "DigestEvery"}

const limitCount = 11

// values are the limits as numbers, durations in milliseconds: how they enter
// the digest and a snapshot.
func (l Limits) values() [limitCount]int64 {
	return [limitCount]int64{int64(l.Sessions), int64(l.SessionWindow), l.SessionBytes, l.ReplyBytes,
		l.SessionTimeout.Milliseconds(), l.SessionTimeoutMax.Milliseconds(), int64(l.Requests), l.RequestBytes,
		l.RequestRetention.Milliseconds(), l.RequestSkew.Milliseconds(), int64(l.DigestEvery)}
}

func limitsOf(v [limitCount]int64) Limits {
	return Limits{
		Sessions: int(v[0]), SessionWindow: int(v[1]), SessionBytes: v[2], ReplyBytes: v[3],
		SessionTimeout: milliseconds(v[4]), SessionTimeoutMax: milliseconds(v[5]),
		Requests: int(v[6]), RequestBytes: v[7],
		RequestRetention: milliseconds(v[8]), RequestSkew: milliseconds(v[9]), DigestEvery: uint64(v[10]),
	}
}

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// limitMax keep sums of limits, times and sizes far from overflow; 2^43
// milliseconds are 278 years, the most that a time.Duration can hold.
var limitMax = [limitCount]int64{1 << 32, 1 << 16, 1 << 50, 1 << 50, 1 << 43, 1 << 43, 1 << 32, 1 << 50,
	1 << 43, 1 << 43, 1 << 43}

func (l Limits) check() error {
	for i, v := range l.values() {
		if v < 1 || v > limitMax[i] {
			return fmt.Errorf("replica: Limits.%s is %d, must be 1 to %d", limitNames[i], v, limitMax[i])
		}
	}
	return nil
}
