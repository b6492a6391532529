// Package ui is the live page of a cluster: HTML, a script and a stream of server-sent events,
// served by any node and by any program that embeds one. It shows what runs and leaves every
// decision to others; what it can break, in demonstrations, it asks the API to break.
//
//	mux := http.NewServeMux()
//	ui.Mount(mux, node)               // the page is at /, for this node and all that it knows
//
// The server gathers and the browser never keeps up with raw traffic: while somebody looks, the
// node that serves the page looks at itself and asks every other member five times a second
// for an api.Look, makes parts of them, and sends those that have changed, at most ten times
// a second. While nobody looks it does nothing.
//
// The stream, /v1/page/events, begins with an event "all": every part and the newest lines of the
// timeline. Events "frame" follow with the parts that have changed, null for one that is gone.
// The id of an event is PROCESS-SEQUENCE. A client that shows the last one it has seen goes on
// behind it if the page remembers that far, and else begins again with "all".
package ui
