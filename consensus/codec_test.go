package consensus_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/synod-go/synod/consensus"
)

func TestAConfigurationComesBackAsItWas(t *testing.T) {
	for name, c := range map[string]consensus.Configuration{
		"raft":  {Version: 7, Members: []consensus.Member{{ID: 1, Voter: true, Name: "a", Address: "h:1"}, {ID: 2, Promote: true, Replaces: 1}}},
		"epoch": {Version: 9, Epoch: 3, Members: []consensus.Member{{ID: 1, Voter: true, Priority: -4}}},
		"roles": {Members: []consensus.Member{{ID: 1, Voter: true, Roles: consensus.RoleAcceptor}, {ID: 2, Roles: consensus.RoleProposer | consensus.RoleLearner}}},
	} {
		data := consensus.EncodeConfiguration(c)
		got, err := consensus.DecodeConfiguration(data)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c)
		}
		if want := byte(1); name == "raft" && data[0] != want {
			t.Errorf("format %d, want %d: what older versions read", data[0], want)
		}
	}
}

func TestMembersThatCannotBeAreRefused(t *testing.T) {
	for name, m := range map[string]consensus.Member{
		"a voter without the acceptor's role": {ID: 1, Voter: true, Roles: consensus.RoleLearner},
		"an unknown role":                     {ID: 1, Voter: true, Roles: 1 << 5},
		"nobody":                              {Voter: true},
	} {
		if err := (consensus.Configuration{Members: []consensus.Member{m}}).Check(); !errors.Is(err, consensus.ErrInvalidMembership) {
			t.Errorf("%s: %v, want ErrInvalidMembership", name, err)
		}
	}
}

func FuzzDecodeConfiguration(f *testing.F) {
	f.Add(consensus.EncodeConfiguration(consensus.Configuration{Epoch: 2, Members: []consensus.Member{{ID: 1, Voter: true, Roles: consensus.RoleAcceptor}}}))
	f.Add(consensus.EncodeConfiguration(consensus.Configuration{Version: 3, Members: []consensus.Member{{ID: 1, Voter: true}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := consensus.DecodeConfiguration(data)
		if err == nil && !bytes.Equal(consensus.EncodeConfiguration(c), data) {
			t.Errorf("%x decodes to %+v and encodes to something else", data, c)
		}
	})
}
