package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// group is the key below which everything of the group is: members, an election, and keys.
	group = "lab"
	// runDir is in memory: nothing of it outlives the container.
	runDir = "/run/lab"
	// templates are part of the image.
	templates = "/etc/lab/"
	// notebookPort is where the leader's notebook is.
	notebookPort = "8888"
)

const (
	againAfter = 500 * time.Millisecond // what has ended is started again after this
	endWithin  = 2 * time.Second        // what is told to end has so long
	goneFor    = 10 * time.Second       // without its address a member waits so long to be told what to do
)

// look looks after this member until it is told to end. Each thing that a member does is a
// program of its own, most of them verbs of node.
func look() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	addr, err := ownAddress()
	if err != nil {
		return err
	}
	keys, err := makeKeys(runDir)
	if err != nil {
		return err
	}
	timeout := cmp.Or(os.Getenv("LAB_TIMEOUT"), "3s")
	ctx, cancel := context.WithCancelCause(ctx)
	go func() { cancel(awaitOtherAddress(ctx, addr)) }()
	var all sync.WaitGroup
	run := func(args ...string) { all.Go(func() { keep(ctx, args) }) }

	// A place in the election. Who has the first place leads, and runs the notebook.
	run("/node", "elect", group+"/members", "--value", net.JoinHostPort(addr, notebookPort),
		"--fence", "--session-timeout", timeout, "--grace", "1s", "--", "/member", "notebook")
	// Our keys for ssh, there as long as this command.
	run("/node", "kv", "create", group+"/keys/"+addr, keys.announcement(addr), "--ephemeral", "--session-timeout", timeout)
	// The names of all members, and whom we trust.
	run("/node", "render", templates+"hosts.tmpl", "/etc/hosts", "--watch", group)
	run("/node", "render", templates+"known_hosts.tmpl", runDir+"/known_hosts", "--watch", group)
	run("/node", "render", templates+"authorized_keys.tmpl", runDir+"/authorized_keys", "--watch", group)
	if server := strings.Fields(os.Getenv("LAB_SSHD")); len(server) > 0 {
		run(server...)
	} else {
		listener, err := net.Listen("tcp", ":22")
		if err != nil {
			return err
		}
		all.Go(func() { cancel(serveSSH(ctx, listener, keys, runDir)) })
	}
	all.Wait()
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}

// keep runs a program again and again until ctx ends.
func keep(ctx context.Context, args []string) {
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = endWithin
		err := cmd.Run()
		if ctx.Err() != nil {
			return
		}
		log.Printf("%s has ended and is started again: %v", strings.Join(args[:min(3, len(args))], " "), err)
		select {
		case <-ctx.Done():
		case <-time.After(againAfter):
		}
	}
}

// ownAddress is the address from which this container reaches the cluster.
func ownAddress() (string, error) {
	first, _, _ := strings.Cut(os.Getenv("NODE_ADDR"), ",")
	conn, err := net.Dial("udp", first) // sends nothing
	if err == nil {
		defer conn.Close()
		return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
	}
	for _, addr := range addresses() { // that node may be down, and its name with it
		return addr, nil
	}
	return "", fmt.Errorf("no way to a node: %w", err)
}

// addresses are those of this container, but for loopback.
func addresses() (list []string) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if ip, is := a.(*net.IPNet); is && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			list = append(list, ip.IP.String())
		}
	}
	return list
}

// awaitOtherAddress returns when this container is not where the others look for it: at another
// address, or cut off for long. The cluster starts another one then.
func awaitOtherAddress(ctx context.Context, addr string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for seen := time.Now(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		list := addresses()
		for _, a := range list {
			if a == addr {
				seen = time.Now()
			}
		}
		switch gone := time.Since(seen); {
		case gone > 2*time.Second && len(list) > 0:
			return fmt.Errorf("the address was %s and is %s: another member takes this one's place", addr, list[0])
		case gone > goneFor:
			return fmt.Errorf("the address %s is gone: another member takes this one's place", addr)
		}
	}
}
