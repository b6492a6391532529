package flight

import "github.com/synod-go/synod/actors/decree"

// Merge puts recordings together by time. Each keeps its own order, also where a
// clock was set back.
func Merge(recordings ...[]decree.Event) []decree.Event {
	var all []decree.Event
	for {
		first := -1
		for i, r := range recordings {
			if len(r) > 0 && (first < 0 || r[0].Time.Before(recordings[first][0].Time)) {
				first = i
			}
		}
		if first < 0 {
			return all
		}
		all = append(all, recordings[first][0])
		recordings[first] = recordings[first][1:]
	}
}
