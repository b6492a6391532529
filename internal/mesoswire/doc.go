// Package mesoswire turns what package mesos says into bytes and back: the messages
// between master and agent, and the calls and events of the scheduler API, whose field
// numbers and enum values are those of Apache Mesos v1 (messages/mesos.proto).
//
// It leaves to others how bytes travel: the API frames them. What it reads may be
// anybody's: it never panics, takes no more than its argument's size times a constant, and
// says what is wrong ([FieldError]). Whether what it has read makes sense, whether a task
// fits its offer or a name may be one, is for the cores.
//
// An empty slice or map comes back as nil. Times come back exactly but for those that the
// Mesos API has as seconds and that are never counted on: how long offers are refused, and
// the times of a health check. They are exact to the nanosecond up to 26 days.
package mesoswire

// MaxMessage bounds an encoded message between master and agent, in bytes: a Register of
// an agent with thousands of tasks is the largest.
const MaxMessage = 16 << 20

// MaxCall bounds an encoded call of a scheduler, in bytes.
const MaxCall = 8 << 20

// MaxEvent bounds an encoded event, in bytes: the offers of all agents at once are the
// largest.
const MaxEvent = 64 << 20
