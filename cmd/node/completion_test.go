package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// A shell that waits for a suggestion waits for its user: a cluster that takes connections and says nothing must not keep it.
func TestCompletionDoesNotWaitForAClusterThatIsSilent(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	begun := time.Now()
	code, out, _ := runNode("__complete", "kv", "get", "--addr", silent.Addr().String(), "--timeout", "1m", "")
	if took := time.Since(begun); code != 0 || out != ":4\n" || took > 10*time.Second {
		t.Errorf("exit %d, %q after %v: want no suggestion after %v", code, out, took, completionPatience)
	}
}

// Each word in the usage of a verb stands for something that can be looked up, or for something that cannot.
func TestCompletionKnowsTheWordsOfAllUsages(t *testing.T) {
	free := map[string]bool{"": true, "VALUE": true, "VERSION": true, "GRANT": true, "USER": true, "CODE": true, "N": true, "exit": true,
		"FILE": true, "DIR": true, "TEMPLATE": true, "VERB": true, "HOST:PORT": true, "FLAG": true}
	leaves(func(path string, c *cobra.Command) {
		for place := range 3 {
			word := wanted(c, place)
			choices := strings.Contains(word, "|") && word == strings.ToLower(word) // the words to choose from themselves
			if _, known := lookUps[word]; !known && !choices && !free[word] {
				t.Errorf("%s: nobody knows how to complete %q", path, word)
			}
		}
	})
}

func TestCompletionSuggestsTheWordsOfAUsage(t *testing.T) {
	if code, out, _ := runNode("__complete", "tls", "rotate", "gossip", ""); code != 0 || out != "add\nuse\nremove\n:4\n" {
		t.Errorf("exit %d, %q", code, out)
	}
}

func TestCompletionIsForProgramsOfOneWord(t *testing.T) {
	var out, text bytes.Buffer
	code := run([]string{"/tmp/go-build1/exe/node", "completion", "bash"}, nil, &out, &text)
	if code != 2 || out.Len() > 0 || !strings.Contains(text.String(), "make install") {
		t.Errorf("exit %d, %d bytes, %s: want it to be refused, since bash would complete go by it", code, out.Len(), text.String())
	}
}
