package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
)

// helloCommand is the service that dev runs: a page that tells where it comes from.
func (a *app) helloCommand() *cobra.Command {
	var host, port string
	c := &cobra.Command{
		Use: "hello", Short: "serve a page that says hello: the service that dev runs", Args: cobra.NoArgs, Hidden: true,
		Example: a.example("hello --port 8080"),
		RunE:    func(c *cobra.Command, _ []string) error { return a.hello(c.Context(), host, port) },
	}
	c.Flags().StringVar(&host, "host", "127.0.0.1", "address to listen on: 0.0.0.0 in a container")
	c.Flags().StringVar(&port, "port", envOr("PORT", "8080"), "port to listen on (PORT)")
	return c
}

func (a *app) hello(ctx context.Context, host, port string) error {
	addr := net.JoinHostPort(host, port)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return &api.Error{Code: api.CodePort, Message: "cannot listen on " + addr, Why: api.Reason(err)}
	}
	fmt.Fprintf(a.out, "hello listens on %s\n", l.Addr())
	limits := api.ServerLimits{}
	server := limits.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthy" {
			return
		}
		fmt.Fprintf(a.out, "%s %s\n", r.Method, r.URL.Path)
		fmt.Fprintf(w, "hello from %s, pid %d\n", envOr("SYNOD_TASK", "nobody's task"), os.Getpid())
	}))
	go func() {
		<-ctx.Done()
		_ = server.Close() // whatever is under way ends with us
	}()
	if err := server.Serve(limits.Listener(l, nil)); !errors.Is(err, http.ErrServerClosed) {
		return &api.Error{Code: api.CodePort, Message: "hello has ended", Why: plain(err)}
	}
	return nil
}

// helloJob describes the service to the cluster: this program, wherever it is.
func helloJob(program string) []byte {
	return fmt.Appendf(nil, "name: hello\nexec: [%s, hello]\nports: [http]\ncpus: 0.1\nmemory: 64MiB\nhealth: {http: /healthy, port: http, delay: 100ms, every: 1s}\n"+
		"on_unreachable: keep\n", quote(program))
}
