package framework_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/framework"
	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

// F-1: a master that took a new framework and whose answer was lost is asked for that
// framework again, not for another one.
func TestAFrameworkWhoseFirstAnswerIsLostIsNotMadeTwice(t *testing.T) {
	asked := make(chan mesos.FrameworkInfo, 64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		call, err := mesoswire.ParseCall(body)
		subscribe, is := call.Body.(mesos.SubscribeCall)
		if err != nil || !is {
			t.Errorf("%T, %v", call.Body, err)
			return
		}
		asked <- subscribe.Info
		w.Header().Set("Mesos-Stream-Id", "s") // and nothing of the stream
	}))
	t.Cleanup(server.Close)
	client, err := api.NewClient(api.ClientConfig{Addrs: []string{strings.TrimPrefix(server.URL, "http://")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, name := range []string{"web", "A/name", strings.Repeat("n", mesos.MaxNameBytes)} {
		_, stop := running(t, framework.Run, framework.Config{Client: client, Info: mesos.FrameworkInfo{Name: name}, Pause: time.Millisecond}, newRecorder())
		first, second := soon(t, "a subscription", asked), soon(t, "another one", asked)
		if first.ID != second.ID || mesos.CheckName(string(first.ID)) != nil {
			t.Errorf("%q asks first for %q and then for %q", name, first.ID, second.ID)
		}
		stop()
	}
}
