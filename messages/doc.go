// Package messages holds the wire messages of Synod: the .proto files, each
// with a diagram of who sends what to whom, and the Go code protoc makes of
// them. It holds no hand-written logic; the actors' codec.go files convert
// between these types and the plain Go values of the cores.
//
// The files are registered below synod/messages, and not as plain raft.proto: one
// program may hold each name only once, and etcd's raft has that one.
package messages

//go:generate protoc -I synod/messages=. --go_out=. --go_opt=module=github.com/synod-go/synod/messages synod/messages/raft.proto synod/messages/group.proto synod/messages/paxoslog.proto synod/messages/link.proto synod/messages/join.proto synod/messages/decree.proto synod/messages/sessions.proto synod/messages/mesos.proto synod/messages/mesosscheduler.proto synod/messages/mesosagent.proto
