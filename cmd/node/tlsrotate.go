package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/cluster"
)

// shownCertificate is one line of "tls show".
type shownCertificate struct {
	File     string    `json:"file"`
	Role     string    `json:"role"`
	Name     string    `json:"name,omitempty"`
	Until    time.Time `json:"until"`
	Days     int       `json:"days"` // how many are left, below 0 if it has expired
	SignedBy string    `json:"signed_by,omitempty"`
}

func (a *app) tlsShow() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "show", Short: "list the certificates in a directory, and how long they are valid", Args: cobra.NoArgs,
		Long:    "List the certificates in a directory: whose they are, until when, and which authority has signed them. It is known by the\nfirst digits of its SHA-256; the nodes tell by the same whom they trust:  status --checks. Exit code 8 if one has expired.",
		Example: a.example("tls show --dir tls", "tls show --output json"),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := showCertificates(dir)
			if err != nil {
				return err
			}
			expired := false
			err = a.answer(list, func(w io.Writer) {
				rows := [][]string{{"FILE", "ROLE", "NAME", "UNTIL", "DAYS", "SIGNED BY"}}
				for _, s := range list {
					rows = append(rows, []string{s.File, s.Role, s.Name, s.Until.Format(time.DateOnly), fmt.Sprint(s.Days), s.SignedBy})
				}
				columns(w, rows)
			})
			for _, s := range list {
				expired = expired || s.Days < 0
			}
			if err == nil && expired {
				return silent(api.ExitUnhealthy)
			}
			return err
		},
	}
	c.Flags().StringVar(&dir, "dir", "tls", "directory with the files")
	return c
}

// showCertificates lists those of a directory by file.
func showCertificates(dir string) (list []shownCertificate, err error) {
	authorities, _ := os.ReadFile(filepath.Join(dir, "ca.pem")) // without it nobody knows who has signed
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(files) == 0 {
		return nil, &api.Error{Code: api.CodeNotFound, Message: "there are no certificates in " + dir, Do: []string{"node tls init --dir " + dir}}
	}
	list = []shownCertificate{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, &api.Error{Code: api.CodeTLS, Message: file + " cannot be read", Why: plain(err)}
		}
		found, err := cluster.ReadCertificates(text, authorities)
		if err != nil {
			return nil, &api.Error{Code: api.CodeTLS, Message: file + " is no certificate of a cluster", Why: plain(err)}
		}
		for _, f := range found {
			s := shownCertificate{File: filepath.Base(file), Role: string(f.Identity.Role), Name: f.Identity.Name, Until: f.Until, SignedBy: f.SignedBy,
				Days: int(time.Until(f.Until).Hours()) / 24}
			if f.Authority {
				s.Role, s.Name = "authority", f.Identity.Cluster
			}
			if time.Now().After(f.Until) {
				s.Days = min(s.Days, -1)
			}
			list = append(list, s)
		}
	}
	return list, nil
}

func (a *app) tlsRenew() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "renew NAME...", Short: "make new certificates in the place of those that are there", Args: cobra.MinimumNArgs(1),
		Long:    "Make a new certificate and key for each NAME, for the same role and addresses and as long as the one before, signed by the\nauthority in the directory. A node or an agent takes up new files within a second or two, without a restart, and tells so in\nits log; connections that are open go on. NAME-key.pem and NAME.pem are each replaced in one step.",
		Example: a.example("tls renew n1 n2 n3 --dir tls"),
		RunE: func(c *cobra.Command, args []string) error {
			ca, err := loadCA(dir)
			if err != nil {
				return err
			}
			var files []string
			for _, name := range args {
				file := filepath.Join(dir, name+".pem")
				old, err := os.ReadFile(file)
				if err != nil {
					return &api.Error{Code: api.CodeNotFound, Message: "there is no certificate of " + name + " in " + dir, Why: plain(err), Do: []string{"node tls issue " + name + " --dir " + dir}}
				}
				certificate, key, err := ca.Renew(old)
				if err != nil {
					return &api.Error{Code: api.CodeTLS, Message: file + " cannot be renewed", Why: plain(err)}
				}
				keyFile := filepath.Join(dir, name+"-key.pem")
				if err := makeChanges([]change{{keyFile, key}, {file, certificate}}); err != nil {
					return err
				}
				files = append(files, keyFile, file)
			}
			a.hint("next: copy them to where they are used; nothing is to be restarted")
			return a.answerFiles(files)
		},
	}
	c.Flags().StringVar(&dir, "dir", "tls", "directory with ca.pem, ca-key.pem and the certificates")
	return c
}

// replaceSecret puts a file that only its owner may read in the place of another, in one step and durably.
func replaceSecret(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err == nil {
		err = syncDir(filepath.Dir(file))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it may have been moved
	}
	return err
}

func (a *app) tlsRotate() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "rotate authority|gossip add|use|remove", Short: "replace the authority or the gossip key in three steps", Args: cobra.ExactArgs(2),
		Long: "Replace what a whole cluster shares while it runs. After each step copy ca.pem, or gossip.key, to all nodes (ca.pem to agents\n" +
			"and clients too), which take it up within a second or two, and go on when all have it: doctor tells.\n\n" +
			"  add     makes a new one beside the old one: both are understood from now on\n" +
			"  use     the new one signs, or encrypts. After it with an authority:  tls renew  of all that it has signed\n" +
			"  remove  takes the old one away: what is still signed by it, or encrypted with it, is refused\n\n" +
			"A step that was broken off, as by a full disk, is said again and goes on where it was.\n" +
			"Connections of an authority that was taken away end within two seconds, and are made anew by who has a new certificate.",
		Example: a.example("tls rotate authority add --dir tls", "tls rotate gossip use --dir tls"),
		RunE: func(c *cobra.Command, args []string) error {
			step := rotationSteps()[args[0]+" "+args[1]]
			if step == nil {
				return a.usageError(c, "it takes authority or gossip, and add, use or remove")
			}
			changes, err := step(dir)
			if err == nil {
				err = makeChanges(changes)
			}
			if err != nil {
				return err
			}
			said, err := toldByNodes(args[0], dir)
			if err != nil {
				return err
			}
			a.hint("next: copy it to where it is used, and wait until  %s doctor  has of all:  %s", a.program, said)
			return a.answerFiles(writtenBy(changes))
		},
	}
	c.Flags().StringVar(&dir, "dir", "tls", "directory with ca.pem, ca-key.pem and gossip.key")
	return c
}

// toldByNodes is what a node's checks say that has the file of dir. Before a node has taken up the file it says what was
// before, and so do all of them: that they agree is not enough for the next step.
func toldByNodes(what, dir string) (string, error) {
	if what == "gossip" {
		keys, err := loadGossipKeys(filepath.Join(dir, "gossip.key"))
		if err != nil {
			return "", err
		}
		text := "sends with " + cluster.Fingerprint(keys[0])
		for i, key := range keys[1:] {
			text += []string{", understands also ", ", "}[min(i, 1)] + cluster.Fingerprint(key)
		}
		return text, nil
	}
	file := filepath.Join(dir, "ca.pem")
	text, err := os.ReadFile(file)
	if err != nil {
		return "", &api.Error{Code: api.CodeData, Message: file + " cannot be read", Why: plain(err)}
	}
	list, err := cluster.ReadCertificates(text, nil)
	if err != nil {
		return "", &api.Error{Code: api.CodeTLS, Message: file + " cannot be read", Why: plain(err)}
	}
	var prints []string
	for _, c := range list {
		prints = append(prints, c.Fingerprint)
	}
	return "trusts " + strings.Join(prints, ", "), nil
}
