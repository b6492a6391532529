package decree

import (
	"fmt"

	"github.com/synod-go/synod/messages"
	"github.com/synod-go/synod/paxos"
	"github.com/synod-go/synod/paxos/founding"
)

// Encode turns a message of a core into its wire form. The caller fills in the
// envelope.
func Encode(m paxos.Message) *messages.DecreeMessage {
	w := new(messages.DecreeMessage)
	switch m := m.(type) {
	case paxos.Prepare:
		w.Body = &messages.DecreeMessage_Prepare{Prepare: &messages.DecreePrepare{Ballot: encodeBallot(m.Ballot)}}
	case paxos.Promise:
		w.Body = &messages.DecreeMessage_Promise{Promise: &messages.DecreePromise{
			Ballot: encodeBallot(m.Ballot), Accepted: encodeBallot(m.Accepted), Value: m.Value}}
	case paxos.Accept:
		w.Body = &messages.DecreeMessage_Accept{Accept: &messages.DecreeAccept{
			Ballot: encodeBallot(m.Ballot), Value: m.Value}}
	case paxos.Accepted:
		w.Body = &messages.DecreeMessage_Accepted{Accepted: &messages.DecreeAccepted{
			Ballot: encodeBallot(m.Ballot), Value: m.Value}}
	case paxos.Nack:
		w.Body = &messages.DecreeMessage_Nack{Nack: &messages.DecreeNack{
			Ballot: encodeBallot(m.Ballot), Promised: encodeBallot(m.Promised), Reason: uint32(m.Reason)}}
	case paxos.Chosen:
		w.Body = &messages.DecreeMessage_Chosen{Chosen: &messages.DecreeChosen{
			Ballot: encodeBallot(m.Ballot), Value: m.Value}}
	case paxos.Ask:
		w.Body = &messages.DecreeMessage_Ask{Ask: &messages.DecreeAsk{}}
	case paxos.Propose:
		w.Body = &messages.DecreeMessage_Propose{Propose: &messages.DecreePropose{Value: m.Value}}
	case paxos.Finish:
		w.Body = &messages.DecreeMessage_Finish{Finish: &messages.DecreeFinish{}}
	default:
		panic(fmt.Sprintf("decree: no wire form for %T", m))
	}
	return w
}

// Decode is Encode backwards. It returns an error for a message that no node of
// ours sends, and for one about the set of acceptors, which is none of a core's.
func Decode(w *messages.DecreeMessage) (paxos.Message, error) {
	switch body := w.GetBody().(type) {
	case *messages.DecreeMessage_Prepare:
		return paxos.Prepare{Ballot: decodeBallot(body.Prepare.GetBallot())}, nil
	case *messages.DecreeMessage_Promise:
		m := body.Promise
		return paxos.Promise{Ballot: decodeBallot(m.GetBallot()), Accepted: decodeBallot(m.GetAccepted()), Value: m.GetValue()}, nil
	case *messages.DecreeMessage_Accept:
		return paxos.Accept{Ballot: decodeBallot(body.Accept.GetBallot()), Value: body.Accept.GetValue()}, nil
	case *messages.DecreeMessage_Accepted:
		return paxos.Accepted{Ballot: decodeBallot(body.Accepted.GetBallot()), Value: body.Accepted.GetValue()}, nil
	case *messages.DecreeMessage_Nack:
		m := body.Nack
		if m.GetReason() > uint32(paxos.Refused) {
			return nil, fmt.Errorf("decree: nack for reason %d", m.GetReason())
		}
		return paxos.Nack{Ballot: decodeBallot(m.GetBallot()), Promised: decodeBallot(m.GetPromised()),
			Reason: paxos.Reason(m.GetReason())}, nil
	case *messages.DecreeMessage_Chosen:
		return paxos.Chosen{Ballot: decodeBallot(body.Chosen.GetBallot()), Value: body.Chosen.GetValue()}, nil
	case *messages.DecreeMessage_Ask:
		return paxos.Ask{}, nil
	case *messages.DecreeMessage_Propose:
		return paxos.Propose{Value: body.Propose.GetValue()}, nil
	case *messages.DecreeMessage_Finish:
		return paxos.Finish{}, nil
	}
	return nil, fmt.Errorf("decree: no message of a core in %T", w.GetBody())
}

func encodeBallot(b paxos.Ballot) *messages.DecreeBallot {
	if b.IsZero() {
		return nil
	}
	return &messages.DecreeBallot{Round: b.Round, Node: uint64(b.Node)}
}

func decodeBallot(b *messages.DecreeBallot) paxos.Ballot {
	return paxos.Ballot{Round: b.GetRound(), Node: paxos.ID(b.GetNode())}
}

// EncodeRefusal makes the answer of an acceptor that must not look at a message.
func EncodeRefusal(reason founding.Reason, pinned founding.Set) *messages.DecreeMessage {
	return &messages.DecreeMessage{Body: &messages.DecreeMessage_Refusal{
		Refusal: &messages.DecreeRefusal{Reason: uint32(reason), Pinned: pinned.Digest()}}}
}

// EncodeFound makes the request to pin a set; the zero set only asks.
func EncodeFound(s founding.Set) *messages.DecreeMessage {
	return &messages.DecreeMessage{Body: &messages.DecreeMessage_Found{Found: &messages.DecreeFound{Members: encodeSet(s)}}}
}

// EncodePinned makes the answer to Found.
func EncodePinned(name string, state founding.State) *messages.DecreeMessage {
	return &messages.DecreeMessage{Body: &messages.DecreeMessage_Pinned{Pinned: &messages.DecreePinned{
		Name: name, Members: encodeSet(state.Set), Founded: state.Founded}}}
}

func encodeSet(s founding.Set) []*messages.DecreeMember {
	var members []*messages.DecreeMember
	for _, m := range s.Members() {
		members = append(members, &messages.DecreeMember{Name: m.Name, Id: uint64(m.ID)})
	}
	return members
}

// DecodeSet reads the members of Found or Pinned; none are the zero set.
func DecodeSet(members []*messages.DecreeMember) (founding.Set, error) {
	if len(members) == 0 {
		return founding.Set{}, nil
	}
	var out []founding.Member
	for _, m := range members {
		out = append(out, founding.Member{Name: m.GetName(), ID: paxos.ID(m.GetId())})
	}
	return founding.NewSet(out...)
}
