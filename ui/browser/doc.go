// Package browser tests the live page in a real Chromium, on a cluster of real processes. It is a
// module of its own, so that the driver of the browser is no dependency of Synod.
//
//	go test -C ui/browser .                 # skips with a reason where there is no Chromium
//	SHOTS=/tmp/shots go test -C ui/browser . # keeps the screenshots there
package browser
