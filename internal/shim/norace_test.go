//go:build linux && !race

package shim

// raceDetector says that this program, and so every shim, carries the race detector.
const raceDetector = false
