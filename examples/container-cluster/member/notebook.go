package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// notebook serves the notebook at the leader until it is told to end, or another leader was there.
// LAB_NOTEBOOK is another program to serve it, in the image that has one.
func notebook() error {
	token, err := strconv.ParseUint(os.Getenv("SYNOD_TOKEN"), 10, 64)
	if err != nil {
		return errors.New("SYNOD_TOKEN is missing: node elect starts this")
	}
	secret, err := os.ReadFile(cmp.Or(os.Getenv("LAB_SECRET"), "/tls/token"))
	if err != nil {
		return err
	}
	addr, err := ownAddress()
	if err != nil {
		return err
	}
	s, err := openStore(cmp.Or(os.Getenv("LAB_SHARED"), "/shared"), token, addr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { cancel(s.witness(ctx)) }()
	if program := strings.Fields(os.Getenv("LAB_NOTEBOOK")); len(program) > 0 {
		err = serveBy(ctx, program, strings.TrimSpace(string(secret)), s)
	} else {
		err = serve(ctx, newPage(s, strings.TrimSpace(string(secret))))
	}
	if cause := context.Cause(ctx); cause != nil && cause != context.Canceled {
		return cause
	}
	return err
}

// serve serves a page until ctx ends.
func serve(ctx context.Context, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	listener, err := net.Listen("tcp", ":"+notebookPort)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	log.Printf("the notebook is served")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveBy has another program serve the notebook. It inherits the lock, so that as long as
// it lives no second one begins.
func serveBy(ctx context.Context, program []string, secret string, s *store) error {
	cmd := exec.CommandContext(ctx, program[0], program[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "LAB_TOKEN="+secret, "JUPYTER_TOKEN="+secret, "LAB_PORT="+notebookPort)
	cmd.ExtraFiles = []*os.File{s.running}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endWithin
	if err := cmd.Run(); ctx.Err() == nil {
		return fmt.Errorf("%s has ended: %w", program[0], cmp.Or(err, errors.New("by itself")))
	}
	return nil
}
