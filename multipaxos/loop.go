package multipaxos

// looped is a message of this replica to itself. It is delivered when the save
// that it speaks about is durable, like any other: no role takes part in
// another's decision by looking into its memory.
type looped struct {
	after   uint64 // the save; 0 until the next one is numbered
	message Message
}

func (n *Node) loop(m Message) { n.loops = append(n.loops, looped{message: m}) }

// numberLoops ties what was looped since the last save to number. Those before have
// theirs: a disk that stands still may leave one for each turn.
func (n *Node) numberLoops(number uint64) {
	for i := len(n.loops) - 1; i >= 0 && n.loops[i].after == 0; i-- {
		n.loops[i].after = number
	}
}

// deliverLoops delivers what is durable now.
func (n *Node) deliverLoops(durable uint64) {
	for len(n.loops) > 0 && n.loops[0].after != 0 && n.loops[0].after <= durable {
		m := n.loops[0].message
		n.loops = n.loops[1:]
		n.step(n.cfg.ID, m)
	}
	if len(n.loops) == 0 {
		n.loops = nil
	}
}
