package api

import "testing"

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
