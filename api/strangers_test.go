package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/coordination"
)

// elsewhere has connections of loopback come from the addresses that it is given in turn.
type elsewhere struct {
	net.Listener
	from chan string
}

type elsewhereConn struct {
	net.Conn
	from net.Addr
}

func (c *elsewhereConn) RemoteAddr() net.Addr { return c.from }

func (e *elsewhere) Accept() (net.Conn, error) {
	conn, err := e.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &elsewhereConn{conn, &net.TCPAddr{IP: net.ParseIP(<-e.from), Port: 1}}, nil
}

// lockedBuffer is for a logger.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// visitor is a connection that comes from some address.
type visitor struct {
	net.Conn
	reader *bufio.Reader
}

// visitors returns a function that connects from an address to a server of c, which lets three strangers of one in.
func visitors(t *testing.T, c Config) (visit func(from string) *visitor) {
	t.Helper()
	c.Backend, c.MaxStrangers = newFake(t, coordination.Config{}), 3
	server, err := NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = &elsewhere{l, make(chan string, 1000)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.http.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return func(from string) *visitor {
		l.(*elsewhere).from <- from
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		return &visitor{conn, bufio.NewReader(conn)}
	}
}

// ask asks for the status with a token, and returns the code of the answer, 0 if the connection has ended.
func (v *visitor) ask(token string) int {
	fmt.Fprintf(v, "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", token)
	response, err := http.ReadResponse(v.reader, nil)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestStrangersOfOneAddressKeepNobodyOut(t *testing.T) {
	log := &lockedBuffer{}
	token, line, err := NewToken("alice", cluster.RoleView)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokens(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	visit := visitors(t, Config{Tokens: tokens, Logger: slog.New(slog.NewTextHandler(log, nil))})
	const stranger, other = "192.0.2.1", "192.0.2.2"
	var first []*visitor
	for range 3 {
		v := visit(stranger)
		if code := v.ask("wrong"); code != http.StatusUnauthorized {
			t.Fatalf("a stranger with a wrong token reads %d", code)
		}
		first = append(first, v)
	}
	for range 50 {
		if code := visit(stranger).ask(token); code != 0 {
			t.Fatalf("a fourth connection of one address is answered: %d", code)
		}
	}
	if code := visit(other).ask("wrong"); code != http.StatusUnauthorized {
		t.Errorf("another address is kept out: %d", code)
	}
	for range 5 {
		if code := visit("127.0.0.1").ask("wrong"); code != http.StatusUnauthorized {
			t.Errorf("this machine is kept out: %d", code)
		}
	}
	// Who has shown a token counts no more, nor does who has gone.
	if code := first[0].ask(token); code != http.StatusOK {
		t.Fatalf("the token is refused: %d", code)
	}
	if code := visit(stranger).ask(token); code != http.StatusOK {
		t.Errorf("behind one that has shown its token: %d", code)
	}
	if visit(stranger).ask("wrong") == 0 || visit(stranger).ask("wrong") != 0 {
		t.Error("beside the two that are left there is room for one")
	}
	first[1].Close()
	deadline := time.Now().Add(30 * time.Second)
	for v := visit(stranger); v.ask("wrong") == 0; v = visit(stranger) {
		if time.Now().After(deadline) {
			t.Fatal("a connection that has ended counts for ever")
		}
	}
	if n := strings.Count(log.String(), "connections refused"); n == 0 || n > 31 || !strings.Contains(log.String(), "address="+stranger) {
		t.Errorf("refusals are told %d times: %s", n, log)
	}
}

// Without certificates and tokens there are no strangers: whoever reaches the port may do everything.
func TestWhereNobodyHasToSayWhoItIsThereAreNoStrangers(t *testing.T) {
	visit := visitors(t, Config{})
	var all []*visitor
	for range 20 {
		all = append(all, visit("192.0.2.1"))
	}
	for i, v := range all {
		if code := v.ask("x"); code != http.StatusOK {
			t.Fatalf("connection %d: %d", i, code)
		}
	}
}

// There is one way to a server: a literal would have none of the limits.
func TestEveryServerHasTheLimits(t *testing.T) {
	literal := regexp.MustCompile(`[^.\w]http\.(Server\{|ListenAndServe|Serve\()`)
	for _, dir := range []string{".", "../cmd/node", "../ui", "../framework", "../recipes", "../internal/docker", "../actors/agent"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || filepath.Base(file) == "serverlimits.go" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := literal.Find(text); found != nil {
				t.Errorf("%s has %s…: use api.ServerLimits", file, found)
			}
		}
	}
	c := ServerLimits{}
	if s := c.Server(http.NotFoundHandler()); s.ReadHeaderTimeout != 5*time.Second || s.IdleTimeout != time.Minute || s.MaxHeaderBytes+4096 != 16<<10 {
		t.Errorf("headers may take %v and %d bytes, a connection is idle for %v", s.ReadHeaderTimeout, s.MaxHeaderBytes, s.IdleTimeout)
	}
}
