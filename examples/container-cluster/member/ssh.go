package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// ssh runs a command on another member, and returns its exit code; 255 if that cannot be done.
func ssh(args []string) (code int, err error) {
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1:1], args[2:]...)
	}
	if len(args) < 2 {
		return 2, errors.New("usage: ssh HOST CMD [ARG...]")
	}
	client, err := dialSSH(net.JoinHostPort(args[0], "22"), runDir)
	if err != nil {
		return 255, err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return 255, err
	}
	session.Stdin, session.Stdout, session.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = session.Run(quoted(args[1:]))
	if exit, is := errors.AsType[*xssh.ExitError](err); is {
		return exit.ExitStatus(), nil
	} else if err != nil {
		return 255, err
	}
	return 0, nil
}

// dialSSH logs in at another member, which has to be the one that known_hosts in dir has by that name.
func dialSSH(addr, dir string) (*xssh.Client, error) {
	known, err := knownhosts.New(filepath.Join(dir, "known_hosts"))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(dir, "id_ed25519"))
	if err != nil {
		return nil, err
	}
	signer, err := xssh.ParsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	return xssh.Dial("tcp", addr, &xssh.ClientConfig{
		User:              "root",
		Auth:              []xssh.AuthMethod{xssh.PublicKeys(signer)},
		HostKeyCallback:   known,
		HostKeyAlgorithms: []string{xssh.KeyAlgoED25519},
		Timeout:           5 * time.Second,
	})
}
