package api

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/synod-go/synod/coordination"
)

// A body that is not read to its end leaves bytes in the connection, and a close with such is a reset, which takes the
// answer with it: net/http waits a moment before it closes then, and has to see that the body was left behind.
func TestWhoSendsTooMuchIsToldSo(t *testing.T) {
	_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{})})
	body := append(append([]byte(`{"operations":["`), bytes.Repeat([]byte("g"), 8<<20)...), `"]}`...)
	for range 20 {
		response, err := http.Post("http://"+addr+"/v1/txn", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("status %d, want 413", response.StatusCode)
		}
	}
}
