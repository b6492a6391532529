package api

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/synod-go/synod/cluster"
	"github.com/synod-go/synod/mesos"
)

// tokensOf makes a file with a token for each name, and returns the tokens in that order. A name may end in /ROLE.
func tokensOf(t *testing.T, names ...string) (tokens *Tokens, shown []string) {
	t.Helper()
	var lines []string
	for _, name := range names {
		name, role, has := strings.Cut(name, "/")
		if !has {
			role = string(cluster.RoleAgent)
		}
		token, line, err := NewToken(name, cluster.Role(role))
		if err != nil {
			t.Fatal(err)
		}
		shown, lines = append(shown, token), append(lines, line)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokens(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, shown
}

func TestAnAgentsTokenLetsItBeNoOtherAgent(t *testing.T) {
	tokens, shown := tokensOf(t, "a1", "evil", "look/view")
	m := newManagerWith(t, 1, tokens)
	m.leads()
	victim, evil := m.dialAs(0, shown[0]), m.dialAs(0, shown[1])
	id := victim.register("a1")
	evil.send(mesos.Register{Info: mesos.AgentInfo{ID: id, Hostname: "evil", Address: "a1:4705"}, Boot: "b", Attempt: 1, Sequence: 1})
	if message, err := readAgentFrame(evil.r); err == nil {
		t.Errorf("who is evil, and says that it is %s, is told %+v", id, message)
	}
	client, err := NewClient(ClientConfig{Addrs: m.addrs, Token: shown[2]})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	list, err := client.Agents(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != string(id) || list[0].Name != "a1" || list[0].State != "registered" {
		t.Errorf("after that there are %+v, %v", list, err)
	}
}
