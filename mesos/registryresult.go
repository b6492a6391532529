package mesos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Errors of the registry. Codes have a [RegistryError].
var (
	// ErrRegistryMalformed tells that bytes are no command or no results.
	ErrRegistryMalformed = errors.New("mesos: malformed registry command or result")
	// ErrRegistryCorrupt tells that a snapshot's bytes do not add up.
	ErrRegistryCorrupt = errors.New("mesos: corrupt registry snapshot")
)

// RegistryCode tells how an operation ended. The numbers are stable: they go into the log's
// results. Nothing has changed unless it is CodeOK.
type RegistryCode uint8

const (
	CodeOK        RegistryCode = 0
	CodeMalformed RegistryCode = 1 // of the whole command
	// CodeTerm: the proposer is not the last master elected, or not later than that one.
	CodeTerm RegistryCode = 2
	// CodeInvalid: a field of the operation makes no sense on its own.
	CodeInvalid          RegistryCode = 3
	CodeAgentUnknown     RegistryCode = 4
	CodeAgentAdmitted    RegistryCode = 5
	CodeAgentUnreachable RegistryCode = 6
	CodeAgentGone        RegistryCode = 7
	// CodeElsewhere: the id belongs to an agent of another address and boot.
	CodeElsewhere        RegistryCode = 8
	CodeFrameworkUnknown RegistryCode = 9
	CodeFrameworkRemoved RegistryCode = 10
	// CodeImmutable: a framework's User and Principal do not change (F-5).
	CodeImmutable RegistryCode = 11
	// CodeFull: a bound of RegistryLimits is reached.
	CodeFull RegistryCode = 12
	// CodeFenced: a scheduler of the framework with a higher token has subscribed (FenceLabel).
	CodeFenced RegistryCode = 13

	lastRegistryCode = CodeFenced
)

var registryCodeTexts = [...]string{
	CodeOK:               "done",
	CodeMalformed:        "malformed command",
	CodeTerm:             "another master has been elected",
	CodeInvalid:          "a field makes no sense",
	CodeAgentUnknown:     "no such agent",
	CodeAgentAdmitted:    "the agent is admitted",
	CodeAgentUnreachable: "the agent is unreachable",
	CodeAgentGone:        "the agent is gone for good: it has to come as a new one",
	CodeElsewhere:        "the agent's id is in use on another machine",
	CodeFrameworkUnknown: "no such framework",
	CodeFrameworkRemoved: "the framework has been removed: an operator can allow its id again, or it subscribes without one",
	CodeImmutable:        "user and principal of a framework do not change",
	CodeFull:             "the registry is full",
	CodeFenced:           "a scheduler that was elected later has subscribed the framework",
}

// String says it in words.
func (c RegistryCode) String() string {
	if int(c) < len(registryCodeTexts) {
		return registryCodeTexts[c]
	}
	return fmt.Sprintf("RegistryCode(%d)", uint8(c))
}

// Err is nil for CodeOK and otherwise a [RegistryError].
func (c RegistryCode) Err() error {
	if c == CodeOK {
		return nil
	}
	return RegistryError{c}
}

// RegistryError tells why an operation was refused.
type RegistryError struct{ Code RegistryCode }

func (e RegistryError) Error() string { return "mesos: registry: " + e.Code.String() }

// Standing is what an agent or a framework is to the registry.
type Standing uint8

const (
	StandingNone        Standing = 0 // it is not known, or the operation is about neither
	StandingAdmitted    Standing = 1
	StandingUnreachable Standing = 2
	StandingGone        Standing = 3

	StandingConnected    Standing = 4
	StandingDisconnected Standing = 5
	StandingRemoved      Standing = 6

	lastStanding = StandingRemoved
)

// RegistryResult is how one operation ended.
type RegistryResult struct {
	Code RegistryCode
	// Changed is false of an operation that was not refused but has found everything as it
	// is to be.
	Changed bool
	// Was is what the agent or framework was before, and Since the Unix time from when on
	// it was unreachable, gone, connected, disconnected or removed.
	Was   Standing
	Since time.Duration
	// Dropped is how many agents and frameworks were forgotten by Prune, or to make room.
	Dropped int
}

// RegistryResults are those of a command.
type RegistryResults struct {
	// Code is CodeMalformed if the command makes no sense; there are no Results then.
	Code RegistryCode
	// Term is that of the last master elected, after the command.
	Term    Term
	Results []RegistryResult
}

// Encoded results. Numbers are unsigned varints unless a size is given.
//
//	1 byte  code
//	..      Term, count
//	..      each: 1 byte code, 1 byte flags (1: changed), 1 byte Was, Since, Dropped
//
// Append encodes r at the end of dst.
func (r RegistryResults) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, byte(r.Code)), uint64(r.Term))
	dst = binary.AppendUvarint(dst, uint64(len(r.Results)))
	for i := range r.Results {
		v := &r.Results[i]
		dst = append(dst, byte(v.Code), registryFlag(v.Changed), byte(v.Was))
		dst = binary.AppendUvarint(dst, uint64(v.Since))
		dst = binary.AppendUvarint(dst, uint64(v.Dropped))
	}
	return dst
}

// DecodeRegistryResults reads what Apply returned. The error matches [ErrRegistryMalformed].
func DecodeRegistryResults(data []byte) (RegistryResults, error) {
	d := registryReader{data: data}
	r := RegistryResults{Code: RegistryCode(d.byteUpTo(byte(lastRegistryCode))), Term: Term(d.number())}
	n := d.count(MaxRegistryOperations, 5)
	if n > 0 {
		r.Results = make([]RegistryResult, n)
	}
	for i := range r.Results {
		r.Results[i] = RegistryResult{Code: RegistryCode(d.byteUpTo(byte(lastRegistryCode))), Changed: d.byteUpTo(1) == 1,
			Was: Standing(d.byteUpTo(byte(lastStanding))), Since: d.duration(), Dropped: int(d.upTo(maxRegistryRows))}
	}
	if !d.done() {
		return RegistryResults{}, fmt.Errorf("%w: results of %d bytes", ErrRegistryMalformed, len(data))
	}
	return r, nil
}
