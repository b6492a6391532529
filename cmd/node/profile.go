package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"

	"github.com/synod-go/synod/api"
)

// serveProfiles lets programs on this machine take profiles of the process. They tell much of
// what it does, so that nobody else is let in, TLS or not. With port 0 it does nothing.
func serveProfiles(port int, log *slog.Logger) (stop func(), err error) {
	if port == 0 {
		return func() {}, nil
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(address, "--profile-port", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	limits := api.ServerLimits{Logger: log}
	server := limits.Server(mux)
	go func() {
		if err := server.Serve(limits.Listener(listener, nil)); err != http.ErrServerClosed {
			log.Error("profiles end", "reason", err)
		}
	}()
	log.Info("profiles", "at", fmt.Sprintf("http://%s/debug/pprof/", address))
	return func() { _ = server.Close() }, nil
}
