package acceptor

import (
	"encoding/binary"
	"fmt"

	"github.com/synod-go/synod/paxos"
)

// What is kept of a decree (decree.RecordRow), little-endian. It is the whole
// state: the newest record of a decree counts.
//
//	offset  size  field
//	0       8     round of the promise
//	8       8     node of the promise
//	16      8     round of the vote, 0 if there is none
//	24      8     node of the vote
//	32      rest  the value voted for
const stateHeader = 32

func encodeState(s paxos.AcceptorState) []byte {
	data := make([]byte, 0, stateHeader+len(s.Accepted.Value))
	for _, word := range []uint64{s.Promised.Round, uint64(s.Promised.Node),
		s.Accepted.Ballot.Round, uint64(s.Accepted.Ballot.Node)} {
		data = binary.LittleEndian.AppendUint64(data, word)
	}
	return append(data, s.Accepted.Value...)
}

// stateBytes is the size of the state after m, about: a promise keeps the value
// that is there.
func stateBytes(m paxos.Message) int {
	if accept, ok := m.(paxos.Accept); ok {
		return stateHeader + len(accept.Value)
	}
	return stateHeader
}

// DecodeState reads what is kept of a decree.
func DecodeState(data []byte) (paxos.AcceptorState, error) {
	if len(data) < stateHeader {
		return paxos.AcceptorState{}, fmt.Errorf("acceptor: state of %d bytes", len(data))
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(data[8*i:]) }
	s := paxos.AcceptorState{Promised: paxos.Ballot{Round: word(0), Node: paxos.ID(word(1))}}
	s.Accepted.Ballot = paxos.Ballot{Round: word(2), Node: paxos.ID(word(3))}
	if len(data) > stateHeader {
		s.Accepted.Value = data[stateHeader:]
	}
	return s, nil
}
