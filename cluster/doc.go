// Package cluster connects the nodes of a cluster: it names them (NodeID),
// finds them (Gossip, on memberlist), proves who they are (TLS, CA) and
// carries actor messages between them (Link). Network and MemoryNetwork let
// the same code run over TCP and, with cuts and kills, inside one process.
//
// It leaves to others what the messages mean and what to do about a peer that
// is gone. Gossip is a hint: who votes stands in the replicated log, and no
// reply is ever inferred from a connection. Delivery is at most once:
// whoever needs an answer asks again.
//
// # Use
//
//	link, err := cluster.NewLink(cluster.LinkConfig{
//		System: system, Self: id, Name: "n1", Epoch: uint64(time.Now().UnixNano()),
//		Listen: "127.0.0.1:4701", Lookup: book.Lookup, OnDown: peerLost,
//	})
//	err = link.Register(16, &messages.RaftMessage{})
//	link.Publish("raft/1", raftActor, nil)
//	err = link.Start()
//	system.Root.Send(link.PID(peer, "raft/1"), message)
//
// # What gets in
//
// Only messages of registered kinds, for published receivers, whose From and
// Name (if they have them) are those of the node at the other end of the
// connection. With TLS a certificate proves its name; which id goes with a name
// is for Admit to say. Everything else is counted and dropped; a broken frame
// closes its connection. No message of protoactor's own crosses the link: nobody
// stops, watches or fails an actor from elsewhere. A process that runs on a copy
// of a peer's data directory is refused for good: original.go has the rules.
//
// # Source
//
// The frame layout stands in README.md and frame.go, the handshake in
// messages/link.proto. Gossip is SWIM with Lifeguard as hashicorp/memberlist
// implements it.
//
// # Differences from protoactor's remote
//
// One framed TCP connection a peer and direction in place of a gRPC stream;
// bounded queues with control ahead of bulk; a lost connection clears what
// waits, is told at once and dialled again at once; unknown kinds and
// receivers are refused instead of ending the process.
package cluster
