package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/synod-go/synod/coordination"
)

// fakeFaults takes every fault.
type fakeFaults struct{ made []FaultRequest }

func (f *fakeFaults) Faults(context.Context) (FaultList, error) {
	return FaultList{Demo: true, Faults: []Fault{}, Nodes: []FaultProcess{{Name: "n1", State: "running", PID: 7}}}, nil
}

func (f *fakeFaults) MakeFault(_ context.Context, r FaultRequest) (FaultsDone, error) {
	f.made = append(f.made, r)
	return FaultsDone{Faults: []Fault{{ID: "f-1", Kind: r.Kind, Nodes: r.Targets(), Text: "it is done"}}}, nil
}

func TestFaultsAreRefusedOutsideDemoMode(t *testing.T) {
	_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{})})
	client := newTestClient(t, addr)
	list, err := client.Faults(t.Context())
	if err != nil || list.Demo || len(list.Faults) != 0 {
		t.Errorf("the list is %+v, %v: want one that says that this is no demo", list, err)
	}
	if _, err := client.MakeFault(t.Context(), FaultRequest{Kind: FaultKill, Node: "n1"}); !errors.Is(err, &Error{Code: CodeNoDemo}) {
		t.Errorf("a fault outside demo mode: %v, want %s", err, CodeNoDemo)
	}
}

func TestFaultsComeFromThisMachineAlone(t *testing.T) {
	f := &fakeFaults{}
	server, addr := serve(t, Config{Backend: newFake(t, coordination.Config{}), Faults: f})
	done, err := newTestClient(t, addr).MakeFault(t.Context(), FaultRequest{Kind: FaultCut, Nodes: []string{"n2", "n1", "n2"}, For: "10s"})
	if err != nil || len(done.Faults) != 1 || fmt.Sprint(done.Faults[0].Nodes) != "[n1 n2]" {
		t.Fatalf("a fault: %+v, %v", done, err)
	}
	elsewhere := httptest.NewRequest("POST", "http://127.0.0.1:4700/v1/faults", strings.NewReader(`{"kind":"kill","node":"n1"}`))
	elsewhere.RemoteAddr = "10.0.0.9:1234"
	answer := httptest.NewRecorder()
	server.Handler().ServeHTTP(answer, elsewhere)
	if answer.Code != http.StatusForbidden || !strings.Contains(answer.Body.String(), string(CodeNoDemo)) {
		t.Errorf("from another machine: %d %s", answer.Code, answer.Body)
	}
	page, _ := http.NewRequest("POST", "http://"+addr+"/v1/faults", strings.NewReader(`{"kind":"kill","node":"n1"}`))
	page.Header.Set("Origin", "http://evil.example")
	page.Header.Set("Sec-Fetch-Site", "cross-site")
	response, err := http.DefaultClient.Do(page)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("from a page elsewhere: %d", response.StatusCode)
	}
	if len(f.made) != 1 {
		t.Errorf("%d faults were made, want the one from here", len(f.made))
	}
}

func TestAFaultThatMakesNoSenseIsRefused(t *testing.T) {
	f := &fakeFaults{}
	_, addr := serve(t, Config{Backend: newFake(t, coordination.Config{}), Faults: f})
	for _, body := range []string{``, `{`, `{"kind":"explode","node":"n1"}`, `{"kind":"kill"}`, `{"kind":"slow","node":"n1"}`, `{"kind":"slow","node":"n1","delay":"2h"}`,
		`{"kind":"cut","node":"n1","delay":"1s"}`, `{"kind":"heal","id":"f-1","node":"n1"}`, `{"kind":"pause","node":"n1","for":"-1s"}`, `{"kind":"resume","node":"n1","for":"1s"}`,
		`{"kind":"pause","node":"n1","color":"red"}`, `{"kind":"kill","nodes":["` + strings.Repeat("n", maxFaultBody) + `"]}`} {
		response, err := http.Post("http://"+addr+"/v1/faults", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%.60s: %d, want 400", body, response.StatusCode)
		}
	}
	if len(f.made) != 0 {
		t.Errorf("made: %+v", f.made)
	}
	good := FaultRequest{Kind: FaultSlow, Node: "n1", Delay: "800ms", For: "10s"}
	if delay, lasts := good.Times(); good.Check() != nil || delay != 800*time.Millisecond || lasts != 10*time.Second {
		t.Errorf("%+v: %v, %v, %v", good, good.Check(), delay, lasts)
	}
}
