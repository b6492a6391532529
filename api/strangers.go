package api

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// refusedEvery is how often connections that are closed at once are told of.
const refusedEvery = time.Second

// strangers counts the connections of each address that have not shown who they are.
type strangers struct {
	most   int
	logger *slog.Logger

	mu      sync.Mutex
	open    map[netip.Addr]int
	refused int       // since told
	told    time.Time // zero: never
}

func newStrangers(most int, logger *slog.Logger) *strangers {
	return &strangers{most: most, logger: logger, open: map[netip.Addr]int{}}
}

// admit counts a connection from the address, unless that has too many. Of one that is not counted, leave is nil.
func (s *strangers) admit(remote net.Addr) (leave func(), ok bool) {
	from, counts := countedAddress(remote)
	if s == nil || !counts {
		return nil, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[from] >= s.most {
		s.refuse(from)
		return nil, false
	}
	s.open[from]++
	return func() { s.leave(from) }, true
}

func (s *strangers) leave(from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[from]--; s.open[from] == 0 {
		delete(s.open, from)
	}
}

// refuse tells of refusals, at most once every refusedEvery.
func (s *strangers) refuse(from netip.Addr) {
	s.refused++
	if now := time.Now(); now.Sub(s.told) >= refusedEvery {
		s.logger.Warn("connections refused", "address", from.String(), "refused", s.refused,
			"reason", "the address has too many that have shown neither certificate nor token", "most", s.most)
		s.refused, s.told = 0, now
	}
}

// countedAddress is the address of a peer, if its connections are counted. Behind loopback's are all programs of this machine.
func countedAddress(remote net.Addr) (netip.Addr, bool) {
	tcp, is := remote.(*net.TCPAddr)
	if !is {
		return netip.Addr{}, false
	}
	addr := tcp.AddrPort().Addr().Unmap()
	return addr, addr.IsValid() && !addr.IsLoopback()
}
