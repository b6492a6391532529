// Package api serves a node's HTTP interface and holds the client for it.
//
// Every node runs one [Server]. Any node answers any request: reads are
// answered where they arrive, and a write that arrives at a follower is
// forwarded to the leader once. The paths:
//
//	GET    /v1/kv/PATH            the value, raw, or as JSON with Accept: application/json
//	GET    /v1/kv/PATH?list       the children, in pages (limit, after, recursive)
//	GET    /v1/kv/PATH?watch      changes as server-sent events (from, recursive, children, once)
//	PUT    /v1/kv/PATH            write the body (version: compare-and-set)
//	POST   /v1/kv/PATH            create (mode, ttl, sequential, need_parent, acl)
//	DELETE /v1/kv/PATH            remove (version, recursive)
//	POST   /v1/txn                several operations, all or none
//	POST   /v1/sessions           open a session, whose ephemeral keys end with it
//	GET    /v1/session/connect    the connection of a session: signs of life and watches
//	DELETE /v1/session            close it
//	GET    /v1/acl/PATH           who may do what with a key; PUT sets it
//	GET    /v1/quotas             bounds of subtrees; PUT /v1/quota/PATH sets one
//	GET    /v1/status             the group as the leader sees it (local: as this node sees it)
//	GET    /v1/members            gossip's view joined with the configuration
//	POST   /v1/members/ACTION     add, remove, promote or demote (name, version)
//	POST   /v1/transfer           hand the leadership over (to, group)
//	POST   /v1/snapshot           take a snapshot now
//	GET    /v1/events             what happens on this node, as server-sent events or NDJSON
//	GET    /livez, /readyz        health (verbose)
//	GET    /metrics               Prometheus text
//
// Every answer about keys carries Synod-Index, the log index it reflects, and,
// where one key is meant, Synod-Version. A write that carries a
// Synod-Request-Id (a ULID) may be repeated safely: it takes effect once.
// A write with a Synod-Session header is done in that session, or refused.
// Every error is a JSON [Error] with a [Code], what happened, why, and what to do.
//
// # What it leaves to others
//
// It decides nothing about consensus: package synod runs the group and package
// coordination holds the tree. The server talks to both through [Backend],
// which [NewBackend] makes from a running node.
//
// # Use
//
//	server, err := api.NewServer(api.Config{Backend: backend, Name: "n1"})
//	...
//	go server.Serve(listener)
//	client, err := api.NewClient(api.ClientConfig{Addrs: []string{"127.0.0.1:4700"}})
//	written, err := client.Put(ctx, "colour", []byte("blue"), api.WriteOptions{})
//
// # Limits
//
// Headers 16 KiB, values 1 MiB, 20 s to send the headers, 60 s idle, a bounded
// number of connections and of watches; see [Config]. A server that listens on
// loopback answers only requests whose Host is a loopback name, so that a web page
// cannot reach it by rebinding its own name; writes from another web origin are
// refused.
package api
