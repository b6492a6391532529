package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

func (a *app) tlsCommand() *cobra.Command {
	c := &cobra.Command{Use: "tls", Short: "make the certificates of a cluster",
		Example: a.example("tls init --dir tls --cluster demo", "tls issue n1 --dir tls")}
	c.AddCommand(a.tlsInit(), a.tlsIssue(), a.tlsShow(), a.tlsRenew(), a.tlsRotate())
	return c
}

// written is the answer of the tls verbs.
type written struct {
	Files []string `json:"files"`
}

func (a *app) tlsInit() *cobra.Command {
	var dir, name string
	c := &cobra.Command{
		Use: "init", Short: "make a cluster's authority and its gossip key", Args: cobra.NoArgs,
		Long:    "Make the authority that signs the certificates of one cluster, and the key for its gossip.\nKeep ca-key.pem off the nodes; every node needs ca.pem and gossip.key.",
		Example: a.example("tls init --dir tls --cluster demo"),
		RunE: func(c *cobra.Command, _ []string) error {
			ca, err := cluster.NewCA(name, 0)
			if err != nil {
				return &api.Error{Code: api.CodeUsage, Message: "the authority cannot be made", Why: plain(err)}
			}
			var key [32]byte
			_, _ = rand.Read(key[:]) // never fails
			files, err := writeSecrets(dir, map[string][]byte{"ca.pem": ca.CertificatePEM, "ca-key.pem": ca.KeyPEM,
				"gossip.key": []byte(base64.StdEncoding.EncodeToString(key[:]) + "\n")})
			if err != nil {
				return err
			}
			a.hint("next: %s tls issue n1 --dir %s --host ADDRESS", a.program, dir)
			return a.answerFiles(files)
		},
	}
	c.Flags().StringVar(&dir, "dir", "tls", "directory for the files")
	c.Flags().StringVar(&name, "cluster", "synod", "name of the cluster in the certificates")
	return c
}

func (a *app) tlsIssue() *cobra.Command {
	var dir, role string
	var hosts []string
	c := &cobra.Command{
		Use: "issue NAME", Short: "make a certificate for a node, an agent or a client", Args: cobra.ExactArgs(1),
		Example: a.example("tls issue n1 --dir tls --host 10.0.0.1", "tls issue a1 --dir tls --role agent", "tls issue alice --dir tls --role view"),
		Long: "Make a certificate with its key. A node speaks to the other nodes, an agent runs tasks, and the others are clients of the\n" +
			"HTTP API, each of which may do what those before it may: view looks, use writes keys and has sessions and locks, operate\n" +
			"runs jobs and commands and looks after agents, admin changes who is a member. client is another word for admin.",
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(append(cluster.ClientRoles(), cluster.RoleNode, cluster.RoleAgent), cluster.Role(role)) {
				return a.usageError(c, fmt.Sprintf("--role is node, agent, view, use, operate or admin, not %q", role))
			}
			ca, err := loadCA(dir)
			if err != nil {
				return err
			}
			certificate, key, err := ca.Issue(cluster.IssueOptions{Role: cluster.Role(role), Name: args[0], Hosts: hosts})
			if err != nil {
				return &api.Error{Code: api.CodeUsage, Message: "the certificate cannot be made", Why: plain(err)}
			}
			files, err := writeSecrets(dir, map[string][]byte{args[0] + ".pem": certificate, args[0] + "-key.pem": key})
			if err != nil {
				return err
			}
			a.hint("use: --tls-ca %[1]s/ca.pem --tls-cert %[1]s/%[2]s.pem --tls-key %[1]s/%[2]s-key.pem", dir, args[0])
			return a.answerFiles(files)
		},
	}
	c.Flags().StringVar(&dir, "dir", "tls", "directory with ca.pem and ca-key.pem")
	c.Flags().StringVar(&role, "role", "node", "node, agent, or for a client view, use, operate or admin")
	c.Flags().StringSliceVar(&hosts, "host", nil, "names and addresses under which its API is reached")
	return c
}

// loadCA loads the authority of a directory that signs: of those in ca.pem the one whose key ca-key.pem is.
func loadCA(dir string) (*cluster.CA, error) {
	parts, key, err := readSigner(dir)
	if err != nil {
		return nil, err
	}
	signs, err := signerIn(dir, parts, key)
	if err != nil {
		return nil, err
	}
	return cluster.LoadCA(parts[signs], key)
}

// maxCAKeyBytes bounds what is read of an authority's key.
const maxCAKeyBytes = 64 << 10

// readSigner reads the certificates in a directory's ca.pem, each as PEM, and the key that signs.
func readSigner(dir string) (parts [][]byte, key []byte, err error) {
	certificates, err1 := os.ReadFile(filepath.Join(dir, "ca.pem"))
	key, err2 := readSecret(filepath.Join(dir, "ca-key.pem"), maxCAKeyBytes)
	if wide, is := errors.AsType[*cluster.KeyModeError](err2); is {
		return nil, nil, &api.Error{Code: api.CodeTLS, Message: "the authority's key cannot be used", Why: plain(wide), Do: secretDo(wide, "node tls rotate authority add", "")}
	}
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, &api.Error{Code: api.CodeNotFound, Message: "there is no authority in " + dir, Why: plain(err), Do: []string{"node tls init --dir " + dir}}
	}
	return splitPEM(certificates), key, nil
}

// writeSecrets writes new files that only their owner may read: all or none. One that exists is not replaced.
func writeSecrets(dir string, contents map[string][]byte) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &api.Error{Code: api.CodeData, Message: "the directory " + dir + " cannot be made", Why: plain(err)}
	}
	defer func() {
		if err != nil {
			for _, file := range files {
				_ = os.Remove(file) // half of them would be in the way of the next attempt
			}
			files = nil
		}
	}()
	for _, name := range sortedKeys(contents) {
		file := filepath.Join(dir, name)
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			return files, &api.Error{Code: api.CodeConflict, Message: file + " exists and is not replaced", Do: []string{"move it away, or use another --dir"}}
		}
		if err == nil {
			files = append(files, file)
			_, err = f.Write(contents[name])
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			return files, notWritten(file, err)
		}
	}
	if err := syncDir(dir); err != nil {
		return files, notWritten(dir, err)
	}
	return files, nil
}

func notWritten(file string, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return &api.Error{Code: api.CodeDiskFull, Message: file + " cannot be written", Why: plain(err), Do: []string{"free space, and try again: nothing was left behind"}}
	}
	return &api.Error{Code: api.CodeData, Message: file + " cannot be written", Why: plain(err)}
}

func (a *app) answerFiles(files []string) error {
	return a.answer(written{files}, func(w io.Writer) {
		for _, file := range files {
			fmt.Fprintln(w, file)
		}
	})
}
