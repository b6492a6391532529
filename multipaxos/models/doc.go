// Package models holds models of the rules of the Multi-Paxos log, as tests: every
// state that a small model can reach is visited and checked, and each rule is
// taken away once to see that the check notices.
package models
