package chaos

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Target is a port that gets bad input.
type Target struct {
	Network, Address string // "tcp" or "udp"
	HTTP             bool
	// TLS, unless nil, is what every other connection speaks: with a certificate, so
	// that the bad input reaches what lies behind the handshake.
	TLS *tls.Config
}

// Targets are all ports of a node.
func (n *Node) Targets() []Target {
	return []Target{{Network: "tcp", Address: n.API, HTTP: true}, {Network: "tcp", Address: n.Link},
		{Network: "tcp", Address: n.Gossip}, {Network: "udp", Address: n.Gossip}}
}

// hammerConnections is how many connections a target gets at a time.
const hammerConnections = 4

// Hammer sends bad input to all targets until ctx ends and returns how many
// connections or datagrams got each of them. What is sent comes from seed: noise,
// almost valid requests, frames that promise more than they hold, silence.
func Hammer(ctx context.Context, dial Dial, targets []Target, seed uint64) map[Target]int {
	var mu sync.Mutex
	sent := make(map[Target]int)
	var done sync.WaitGroup
	for i, target := range targets {
		for j := range hammerConnections {
			random := rand.New(rand.NewPCG(seed, uint64(i*hammerConnections+j)))
			done.Go(func() {
				for ctx.Err() == nil {
					if hammerOnce(ctx, dial, target, random) {
						mu.Lock()
						sent[target]++
						mu.Unlock()
					}
				}
			})
		}
	}
	done.Wait()
	return sent
}

// hammerOnce opens one connection, sends bad input and reads what comes back for a
// moment.
func hammerOnce(ctx context.Context, dial Dial, target Target, random *rand.Rand) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := dial(ctx, target.Network, target.Address)
	if err != nil {
		return false
	}
	defer conn.Close()
	patience := time.Duration(1+random.IntN(100)) * time.Millisecond
	if target.TLS != nil && random.IntN(2) == 0 {
		conn, patience = tls.Client(conn, target.TLS), patience+500*time.Millisecond
	}
	conn.SetDeadline(time.Now().Add(patience))
	input := badInput(target, random)
	if _, err := conn.Write(input); err != nil && target.Network == "udp" {
		return false
	}
	conn.Read(make([]byte, 4096)) // an answer, a closed connection or the deadline: all are fine
	return true
}

// badInput draws what a hostile or broken peer might send.
func badInput(target Target, random *rand.Rand) []byte {
	if target.HTTP && random.IntN(4) > 0 {
		return badRequest(random)
	}
	noise := randomBytes(random, random.IntN(1400))
	switch random.IntN(6) {
	case 0: // a length that promises up to 4 GiB, then little
		return append(binary.BigEndian.AppendUint32(nil, random.Uint32()), noise...)
	case 1:
		return append(binary.LittleEndian.AppendUint32(nil, uint32(random.IntN(1<<16))), noise...)
	case 2: // gossip's message types, with a body that does not fit
		return append([]byte{byte(random.IntN(16))}, noise...)
	case 3: // the beginning of a TLS handshake
		return append([]byte{22, 3, 1, byte(random.IntN(4)), byte(random.IntN(256)), 1}, noise...)
	case 4: // protobuf tags and lengths
		return bytes.Repeat([]byte{0x0a, byte(random.IntN(256)), 0x12, 0xff, 0xff, 0xff, 0x7f}, 1+random.IntN(100))
	}
	return noise
}

func randomBytes(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// badRequest draws an HTTP request that is wrong somewhere.
func badRequest(random *rand.Rand) []byte {
	pick := func(options ...string) string { return options[random.IntN(len(options))] }
	noise := func(n int) string { return string(randomBytes(random, random.IntN(n))) }
	method := pick("GET", "PUT", "DELETE", "POST", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "get", noise(8))
	path := pick("/v1/kv/", "/v1/kv/a", "/v1/kv/%", "/v1/kv/../../etc/passwd", "/v1/kv/a//b", "/v1/kv/"+noise(300), "/v1/status",
		"/v1/members", "/v1/members/remove", "/v1/members/add", "/v1/events", "/v1/"+noise(20), "/metrics", "//", "*", "", "/v1/agent",
		"/v1/containers/00112233445566778899aabbccddeeff/"+pick("logs", "files", "files/..%2f..%2fetc/passwd", "files/"+noise(200), "exec"), "/v1/containers/"+noise(40)+"/logs")
	query := pick("", "", "?list", "?list&recursive&limit=999999999", "?watch&from=18446744073709551615", "?watch&from=-1",
		"?version=-1", "?version=99999999999999999999", "?level=none", "?level=sequential&index=18446744073709551615", "?"+noise(50),
		"?tail=-1", "?from=9223372036854775807&follow=true", "?stream="+noise(20), "?arg=sh&arg=-c&arg="+noise(60))
	headers := pick("", "Content-Length: 18446744073709551615\r\n", "Content-Length: -1\r\n", "Content-Length: 10\r\nContent-Length: 20\r\n",
		"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "Synod-Request-Id: "+noise(40)+"\r\n",
		"Synod-Request-Id: 00000000000000000000000000\r\n", "Accept: "+noise(100)+"\r\n", noise(100)+": "+noise(100)+"\r\n",
		"X: "+string(bytes.Repeat([]byte{'x'}, random.IntN(1<<17)))+"\r\n", "Upgrade: websocket\r\nConnection: upgrade\r\n", "Upgrade: synod-exec/1\r\nConnection: upgrade\r\n", "Expect: 100-continue\r\n")
	body := pick("", "{", "ffffffffffffffff\r\n", "-1\r\n", "{\"name\":"+string(bytes.Repeat([]byte{'['}, random.IntN(5000))), noise(2000))
	host := pick("127.0.0.1", "localhost", "example.com", noise(30), "")
	return fmt.Appendf(nil, "%s %s%s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", method, path, query, host, headers, body)
}
