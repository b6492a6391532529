package docker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
)

// maxCredentials bounds a file of credentials, in bytes.
const maxCredentials = 1 << 20

// loginFile is a config.json as docker login writes it.
type loginFile struct {
	Auths map[string]struct {
		Auth          string `json:"auth"` // base64 of USER:PASSWORD
		Username      string `json:"username"`
		Password      string `json:"password"`
		IdentityToken string `json:"identitytoken"`
		RegistryToken string `json:"registrytoken"`
	} `json:"auths"`
	Store   string            `json:"credsStore"`
	Helpers map[string]string `json:"credHelpers"`
}

// credentials returns what an engine gives a registry: "" where the file has nothing for that. An error does not
// show what is in the file.
func credentials(file, domain string) (string, error) {
	if file == "" {
		return "", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("the credentials cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	var logins loginFile
	if err := json.NewDecoder(io.LimitReader(f, maxCredentials)).Decode(&logins); err != nil {
		return "", fmt.Errorf("the credentials in %s are not JSON as docker login writes it", file)
	}
	for host, login := range logins.Auths {
		if registryOf(host) != domain {
			continue
		}
		a := registry.AuthConfig{
			Username: login.Username, Password: login.Password, ServerAddress: host,
			IdentityToken: login.IdentityToken, RegistryToken: login.RegistryToken,
		}
		if login.Auth != "" {
			pair, err := base64.StdEncoding.DecodeString(login.Auth)
			user, password, found := strings.Cut(strings.TrimRight(string(pair), "\x00"), ":")
			if err != nil || !found {
				return "", fmt.Errorf("the credentials for %s in %s are not base64 of USER:PASSWORD", host, file)
			}
			a.Username, a.Password = user, password
		}
		if a.Username == "" && a.IdentityToken == "" && a.RegistryToken == "" {
			continue // An empty entry says that a helper has them.
		}
		return authconfig.Encode(a)
	}
	if helper := logins.helper(domain); helper != "" {
		return "", fmt.Errorf("the credentials for %s are with docker-credential-%s, which is not asked: put them into %s as docker login does without a helper", domain, helper, file)
	}
	return "", nil
}

// helper is the program that has the credentials of a registry, "" if none is named for it. The store of all
// may have none, so that it counts only where the file has an entry for the registry.
func (l *loginFile) helper(domain string) string {
	for host, helper := range l.Helpers {
		if registryOf(host) == domain {
			return helper
		}
	}
	for host := range l.Auths {
		if registryOf(host) == domain {
			return l.Store
		}
	}
	return ""
}

// registryOf is the host and port of a registry by its key in the file, which may be a URL.
func registryOf(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, _, _ := strings.Cut(key, "/")
	if host == "index.docker.io" {
		return "docker.io"
	}
	return host
}
