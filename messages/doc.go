// Package messages holds the wire messages of Synod: the .proto files, each
// with a diagram of who sends what to whom, and the Go code protoc makes of
// them. It holds no hand-written logic; the actors' codec.go files convert
// between these types and the plain Go values of the cores.
package messages

//go:generate protoc --go_out=. --go_opt=paths=source_relative raft.proto link.proto join.proto
