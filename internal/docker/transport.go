package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/client"
)

// maxAnswer bounds an answer, in bytes: a list of 10,000 containers is about 20 MB. Tests make it less.
var maxAnswer = 64 << 20

// maxLine bounds what an engine says at once in a stream of lines, in bytes.
const maxLine = 1 << 20

var (
	errTooLong = errors.New("the answer is too long")
	errScheme  = errors.New("neither unix:// nor tcp://")
)

// dial returns two clients of one engine that speak the newest API that both sides know, at least 1.40. Each
// call has a connection of its own: none is reused that an engine has closed meanwhile, and none is left behind.
func dial(ctx context.Context, host string) (api, raw *client.Client, err error) {
	network, address, _ := strings.Cut(host, "://")
	if network != "unix" && network != "tcp" {
		return nil, nil, errScheme
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 1 << 20}
	options := []client.Opt{client.WithHost(host)}
	rawOptions := []client.Opt{client.WithHost(host)}
	if network == "unix" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", address)
		}
	} else if dir := os.Getenv(client.EnvOverrideCertPath); dir != "" {
		ca, cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		if transport.TLSClientConfig, err = tlsConfig(ca, cert, key); err != nil {
			return nil, nil, err
		}
		options = append(options, client.WithScheme("https"))
		rawOptions = append(rawOptions, client.WithTLSClientConfig(ca, cert, key))
	}
	bounded := &http.Client{Transport: &bounds{transport}, CheckRedirect: client.CheckRedirect}
	if api, err = client.New(append(options, client.WithHTTPClient(bounded))...); err != nil {
		return nil, nil, err
	}
	if _, err = api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return nil, nil, err
	}
	raw, err = client.New(append(rawOptions, client.WithAPIVersion(api.ClientVersion()))...)
	return api, raw, err
}

func tlsConfig(ca, cert, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	authorities, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{pair}}, nil
}

// bounds has the answers bounded that the client library reads to their end, or line by line.
type bounds struct{ next http.RoundTripper }

// begun is the key of a func() in the context of a request that is called when its answer begins.
type begun struct{}

func (b *bounds) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(request)
	if err != nil || response.StatusCode >= http.StatusBadRequest {
		return response, err // Of an error the library reads 1 MiB.
	}
	switch path := request.URL.Path; {
	case strings.HasSuffix(path, "/logs"), strings.HasSuffix(path, "/images/create"), strings.HasSuffix(path, "/images/load"):
	case strings.HasSuffix(path, "/events"):
		response.Body = &boundedLines{ReadCloser: response.Body}
	default:
		response.Body = &boundedBody{response.Body, maxAnswer}
	}
	if f, ok := request.Context().Value(begun{}).(func()); ok {
		f()
	}
	return response, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

// boundedLines is a stream of lines of which none is longer than maxLine.
type boundedLines struct {
	io.ReadCloser
	since int // bytes since the last end of a line
}

func (b *boundedLines) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if last := strings.LastIndexByte(string(p[:n]), '\n'); last >= 0 {
		b.since = n - last - 1
	} else if b.since += n; b.since > maxLine {
		return 0, errTooLong
	}
	return n, err
}
