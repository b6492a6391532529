package api

import (
	"encoding/json"
	"testing"
)

func TestASignOfLifeIsReadTheSameBothWays(t *testing.T) {
	short := 0
	for _, line := range []string{`{"touch":1}`, `{"touch":90}`, `{"touch":999999999999999999}`, `{"touch":18446744073709551615}`, `{"touch":18446744073709551616}`,
		`{"touch":0}`, `{"touch":01}`, `{"touch":}`, `{"touch":1`, `{"touch":1e3}`, `{"touch":-1}`, `{"touch":1,"sync":2}`, `{"touch":1}}`, `{"touch":1} `, `{"touch":`, ``} {
		whole, err := parseRareLine([]byte(line))
		if number, is := parseTouch([]byte(line)); is {
			short++
			if err != nil || whole != (sessionLine{kind: lineTouch, number: number}) {
				t.Errorf("%s is sign of life %d, but encoding/json reads %+v, %v", line, number, whole, err)
			}
		}
		m, got := parseSessionLine([]byte(line))
		if (got == nil) != (err == nil) || m != whole {
			t.Errorf("%s is %+v, %v; encoding/json reads %+v, %v", line, m, got, whole, err)
		}
	}
	if short != 3 {
		t.Errorf("%d lines were read the short way, want the first 3", short)
	}
}

func TestANodeAsksItsSessionsToSpreadIfTheyAreMany(t *testing.T) {
	for sessions, want := range map[int]uint64{0: 0, 3: 0, 124: 0, 125: 50, 3300: 1320, 10_000: 4000} {
		if got := spreadOf(sessions); got != want {
			t.Errorf("%d sessions are to spread over %d ms, want %d", sessions, got, want)
		}
		var line nodeLine
		if text := appendAlive(nil, 7, 8, want); json.Unmarshal(text, &line) != nil || *line.Alive != 7 || line.Index != 8 || line.Spread != want {
			t.Errorf("a client reads %+v from %s, want 7, 8 and %d", line, text, want)
		}
	}
}
