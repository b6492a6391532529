package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/synod-go/synod/api"
	"github.com/synod-go/synod/internal/doctor"
)

// That nobody answers where nobody has said that there is a cluster is well. All else that is not known is not.
func TestDoctorTakesNoClusterThatRefusesForOneThatIsAbsent(t *testing.T) {
	absent, refuses := &api.Error{Code: api.CodeReach, Message: "no node answers"}, &api.Error{Code: api.CodeAccess, Message: "who asks is not known", Do: []string{"--token-file"}}
	for _, c := range []struct {
		addr  string
		err   error
		state doctor.State
		says  string
	}{
		{defaultAddrs, absent, doctor.OK, "this machine alone was looked at"},
		{"10.0.0.1:4700", absent, doctor.Fail, "no node answers"},
		{defaultAddrs, refuses, doctor.Fail, "E-ACCESS: who asks is not known"},
		{"10.0.0.1:4700", refuses, doctor.Fail, "E-ACCESS: who asks is not known"},
		{defaultAddrs, errors.New("torn"), doctor.Fail, "torn"},
	} {
		f := (&app{addr: c.addr}).unreached(c.err)
		if f.State != c.state || !strings.Contains(f.Value, c.says) || c.err == refuses && f.Do != "--token-file" {
			t.Errorf("%s, %v: %+v, want %v and %q", c.addr, c.err, f, c.state, c.says)
		}
	}
}
