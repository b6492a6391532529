package chaos

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
)

// Certificates are a directory with an authority and what it has issued, all made
// by the program under test, as an operator makes it.
type Certificates struct {
	program []string
	dir     string
}

// NewCertificates makes an authority, a gossip key, and a certificate for each of
// nodes and for the client that Client returns.
func NewCertificates(program []string, dir string, nodes ...string) (*Certificates, error) {
	c := &Certificates{program, dir}
	if err := c.run("tls", "init", "--dir", dir, "--cluster", "chaos"); err != nil {
		return nil, err
	}
	for _, node := range nodes {
		if err := c.run("tls", "issue", node, "--dir", dir); err != nil {
			return nil, err
		}
	}
	return c, c.run("tls", "issue", "client", "--role", "client", "--dir", dir)
}

func (c *Certificates) run(args ...string) error {
	argv := append(append([]string(nil), c.program...), args...)
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("chaos: %v: %w: %s", args, err, out)
	}
	return nil
}

func (c *Certificates) file(name string) string { return filepath.Join(c.dir, name) }

// Arguments are those of NodeArguments with what the node needs for TLS.
func (c *Certificates) Arguments(s NodeSpec) []string {
	return append(NodeArguments(s), "--tls-ca", c.file("ca.pem"), "--tls-cert", c.file(s.Name+".pem"),
		"--tls-key", c.file(s.Name+"-key.pem"), "--gossip-key", c.file("gossip.key"))
}

// Config is for a holder of a certificate who does not care who answers.
func (c *Certificates) Config(holder string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.file(holder+".pem"), c.file(holder+"-key.pem"))
	if err != nil {
		return nil, fmt.Errorf("chaos: certificate of %s: %w", holder, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}, nil
}

// Client is Config for who uses the API.
func (c *Certificates) Client() (*tls.Config, error) { return c.Config("client") }

// Secure makes h speak TLS from now on.
func (h *HTTP) Secure(config *tls.Config) {
	plain := h.client.Transport.(*http.Transport)
	plain.TLSClientConfig = config
	h.client.Transport = secured{plain}
}

// secured sends what was meant for http over https.
type secured struct{ *http.Transport }

func (s secured) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "https"
	return s.Transport.RoundTrip(r)
}
