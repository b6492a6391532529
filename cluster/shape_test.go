package cluster

import (
	"bytes"
	"runtime"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/synod-go/synod/messages"
)

// deepList is a list within a list within a list; with room for more than freeBytes.
func deepList(levels int) []byte {
	value := []byte(nil)
	for range levels { // Value.list_value = 6, ListValue.values = 1
		value = protowire.AppendBytes(protowire.AppendTag(nil, 6, protowire.BytesType), protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), value))
	}
	long := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), make([]byte, freeBytes)) // Value.string_value
	return append(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), long), protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), value)...)
}

func TestDeepAndLongMessagesAreRefusedBeforeTheyAreMade(t *testing.T) {
	packed := func(n int) []byte { // SignsOfLife.gone, of one byte each
		return protowire.AppendBytes(protowire.AppendTag(nil, 6, protowire.BytesType), make([]byte, n))
	}
	for name, c := range map[string]struct {
		body []byte
		into proto.Message
		ok   bool
	}{
		"four million empty messages":     {bytes.Repeat([]byte{0x0a, 0}, 4<<20), &structpb.ListValue{}, false},
		"four million runs of a promise":  {bytes.Repeat([]byte{0x12, 0}, 4<<20), &messages.PaxosPromise{}, false},
		"ten million packed numbers":      {packed(10 << 20), &messages.SignsOfLife{}, false},
		"four million numbers on its own": {bytes.Repeat([]byte{0x30, 1}, 4<<20), &messages.SignsOfLife{}, false},
		"lists 3000 deep":                 {deepList(3000), &structpb.ListValue{}, false},
		"lists 20 deep":                   {deepList(20), &structpb.ListValue{}, true},
		"a quarter of a million numbers":  {packed(maxElements), &messages.SignsOfLife{}, true},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := unmarshal(c.body, c.into)
		runtime.ReadMemStats(&after)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if made := after.TotalAlloc - before.TotalAlloc; !c.ok && made > 1<<20 {
			t.Errorf("%s: %d KiB were made of %d before it was refused", name, made>>10, len(c.body)>>10)
		}
	}
}

// What we send is let in: the most that a keeper of sessions says at once.
func TestTheLongestMessageOfOursIsLetIn(t *testing.T) {
	m := &messages.SignsOfLife{From: 1}
	for i := range uint64(16_384) {
		m.Sessions, m.Connections, m.Gone = append(m.Sessions, i<<40), append(m.Connections, i), append(m.Gone, uint32(i))
	}
	body := encoded(t, m)
	if err := unmarshal(body, &messages.SignsOfLife{}); err != nil || len(body) < freeBytes {
		t.Errorf("%d bytes: %v", len(body), err)
	}
}

// Behind a frame that is refused the connection goes on.
func TestAFrameOfALongListIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.start(1)
		n.link.kinds.Load().byKind[77] = (&structpb.ListValue{}).ProtoReflect().Type()
		n.system.Root.Send(n.link.PID(66, "x"), &messages.RaftMessage{})
		s := dialRaw(t, w, n)
		s.greet(helloOf(66))
		s.write(raw(77, "raft", bytes.Repeat([]byte{0x0a, 0}, maxElements+1)))
		s.write(raw(77, "raft", deepList(3000)))
		s.write(raw(raftKind, "raft", encoded(t, &messages.RaftMessage{From: 66, Term: 1})))
		settle()
		want(t, "the next valid message", n.terms(), []uint64{1})
		if got := n.peerStats(66).Refused[RefusedBody]; got != 2 {
			t.Fatalf("%d bodies refused, want 2", got)
		}
	})
}
