package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// maxLogins bounds how many connections the server has at a time; more are closed.
const maxLogins = 64

var errUnknownKey = errors.New("that key is no member's")

// serveSSH lets the other members run commands here, without a shell, until ctx ends. They are
// known by their keys, as the file authorized_keys in dir has them at that moment; there are no passwords.
func serveSSH(ctx context.Context, listener net.Listener, k keys, dir string) error {
	config := &xssh.ServerConfig{
		MaxAuthTries: 3,
		PublicKeyCallback: func(_ xssh.ConnMetadata, key xssh.PublicKey) (*xssh.Permissions, error) {
			if !authorized(filepath.Join(dir, "authorized_keys"), key) {
				return nil, errUnknownKey
			}
			return &xssh.Permissions{}, nil
		},
	}
	config.AddHostKey(k.host)
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	slots := make(chan struct{}, maxLogins)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		select {
		case slots <- struct{}{}:
			go func() { login(conn, config); <-slots }()
		default:
			conn.Close()
		}
	}
}

// authorized reports whether a key is in a file of authorized keys.
func authorized(file string, key xssh.PublicKey) bool {
	rest, err := os.ReadFile(file)
	for err == nil && len(rest) > 0 {
		var known xssh.PublicKey
		if known, _, _, rest, err = xssh.ParseAuthorizedKey(rest); err == nil && bytes.Equal(known.Marshal(), key.Marshal()) {
			return true
		}
	}
	return false
}

func login(conn net.Conn, config *xssh.ServerConfig) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	server, channels, requests, err := xssh.NewServerConn(conn, config)
	if err != nil {
		log.Printf("no login from %v: %v", conn.RemoteAddr(), err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	defer server.Close()
	go xssh.DiscardRequests(requests)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(xssh.UnknownChannelType, "only commands can be run here")
			continue
		}
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go session(channel, requests)
	}
}

// session runs the one command of a channel. What asks for a terminal or a shell is refused.
func session(channel xssh.Channel, requests <-chan *xssh.Request) {
	defer channel.Close()
	for r := range requests {
		var command struct{ Line string }
		known := r.Type == "exec" && xssh.Unmarshal(r.Payload, &command) == nil
		if r.WantReply {
			_ = r.Reply(known, nil)
		}
		if known {
			code := runFor(channel, requests, command.Line)
			_, _ = channel.SendRequest("exit-status", false, xssh.Marshal(struct{ Code uint32 }{uint32(code)}))
			return
		}
	}
}

// runFor runs a command line for a client, and ends it when the client goes.
func runFor(channel xssh.Channel, requests <-chan *xssh.Request, line string) int {
	words, err := split(line)
	if err != nil || len(words) == 0 {
		_, _ = io.WriteString(channel.Stderr(), "a command is needed: there is no shell here\n")
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { xssh.DiscardRequests(requests); cancel() }()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		_, _ = io.WriteString(channel.Stderr(), err.Error()+"\n")
		return 127
	}
	go func() { _, _ = io.Copy(in, channel); in.Close() }()
	err = cmd.Wait()
	if exit, is := errors.AsType[*exec.ExitError](err); is && exit.ExitCode() >= 0 {
		return exit.ExitCode()
	} else if err != nil {
		return 255
	}
	return 0
}
