package replica

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawEnvelope draws an envelope with only the fields of its kind set.
func drawEnvelope(t *rapid.T) Envelope {
	e := Envelope{Kind: Kind(rapid.IntRange(int(KindPlain), int(KindClose)).Draw(t, "kind")),
		Time: rapid.Int64Range(0, MaxTime).Draw(t, "time")}
	command := rapid.SliceOf(rapid.Byte())
	switch e.Kind {
	case KindPlain:
		e.Command = command.Draw(t, "command")
	case KindSession:
		e.Session = rapid.Uint64().Draw(t, "session")
		e.Sequence = rapid.Uint64Min(1).Draw(t, "sequence")
		e.AckedBelow = rapid.Uint64Max(e.Sequence).Draw(t, "acked")
		e.Command = command.Draw(t, "command")
	case KindRequest:
		copy(e.Request[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "request"))
		e.Command = command.Draw(t, "command")
	case KindRegister:
		e.Timeout = rapid.Int64Range(0, MaxTime).Draw(t, "timeout")
	case KindKeepAlive:
		e.Session, e.AckedBelow = rapid.Uint64().Draw(t, "session"), rapid.Uint64().Draw(t, "acked")
	case KindClose:
		e.Session = rapid.Uint64().Draw(t, "session")
	}
	return e
}

func TestAnEnvelopeReadsAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEnvelope(t)
		data := e.Append([]byte("before"))
		if !bytes.HasPrefix(data, []byte("before")) || len(data) != 6+e.Size() {
			t.Fatalf("%d bytes, want %d", len(data), 6+e.Size())
		}
		got, err := Decode(data[6:])
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Command) == 0 && len(e.Command) == 0 {
			got.Command, e.Command = nil, nil
		}
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("got %+v, want %+v", got, e)
		}
	})
}

func TestSetTimeChangesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEnvelope(t)
		data := e.Append(nil)
		e.Time = rapid.Int64Range(0, MaxTime).Draw(t, "new time")
		SetTime(data, e.Time)
		if !bytes.Equal(data, e.Append(nil)) {
			t.Fatalf("got %x, want %x", data, e.Append(nil))
		}
	})
	for n := range headerSize {
		short := make([]byte, n)
		SetTime(short, MaxTime)
		if !bytes.Equal(short, make([]byte, n)) {
			t.Fatalf("%d bytes were changed to %x", n, short)
		}
	}
}

func TestTimeIsKeptWithinItsRange(t *testing.T) {
	for given, want := range map[int64]int64{-1: 0, MaxTime + 1: MaxTime, 1 << 62: MaxTime} {
		e, err := Decode(Envelope{Kind: KindPlain, Time: given}.Append(nil))
		if err != nil || e.Time != want {
			t.Errorf("%d: got %d, %v; want %d", given, e.Time, err, want)
		}
	}
}

func TestAPlainCommandCostsSevenBytesAndNoAllocation(t *testing.T) {
	command, buf := []byte("command"), make([]byte, 0, 64)
	if n := (Envelope{Kind: KindPlain, Command: command}).Size() - len(command); n != 7 {
		t.Errorf("header of %d bytes, want 7", n)
	}
	allocations := testing.AllocsPerRun(100, func() {
		data := Envelope{Kind: KindPlain, Time: startTime, Command: command}.Append(buf)
		if e, err := Decode(data); err != nil || len(e.Command) != len(command) {
			t.Error(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want none", allocations)
	}
}

func TestMalformedEnvelopesAreRefused(t *testing.T) {
	session := Envelope{Kind: KindSession, Session: 1, Sequence: 2, AckedBelow: 2}
	for name, data := range map[string][]byte{
		"empty":           {},
		"short header":    {1, 0, 0, 0, 0, 0},
		"short session":   session.Append(nil)[:30],
		"long register":   append(Envelope{Kind: KindRegister}.Append(nil), 0),
		"short request":   Envelope{Kind: KindRequest}.Append(nil)[:22],
		"sequence 0":      Envelope{Kind: KindSession, Session: 1}.Append(nil),
		"acks itself":     Envelope{Kind: KindSession, Sequence: 2, AckedBelow: 3}.Append(nil),
		"timeout too big": Envelope{Kind: KindRegister, Timeout: MaxTime + 1}.Append(nil),
	} {
		if e, err := Decode(data); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, e, err)
		}
	}
	for _, kind := range []byte{0, 7, 255} {
		if _, err := Decode([]byte{kind, 0, 0, 0, 0, 0, 0}); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("kind %d: got %v", kind, err)
		}
	}
}

func TestAnEnvelopeWithoutKindIsABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("encoded an envelope that nobody can decode")
		}
	}()
	Envelope{}.Append(nil)
}

func TestARequestIDIsAULID(t *testing.T) {
	id, err := ParseRequestID("01ARYZ6S41TSV4RRFFQ69G5FAV") // from the ULID specification
	if err != nil || id.Time() != 1469918176385 {
		t.Fatalf("time %d, %v", id.Time(), err)
	}
	if s := id.String(); s != "01ARYZ6S41TSV4RRFFQ69G5FAV" {
		t.Fatalf("written back as %s", s)
	}
	if lower, err := ParseRequestID("01aryz6s41tsv4rrffq69g5fav"); err != nil || lower != id {
		t.Fatalf("lower case: %s, %v", lower, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRequestID(t, "a"), drawRequestID(t, "b")
		got, err := ParseRequestID(a.String())
		if err != nil || got != a {
			t.Fatalf("%s read as %s, %v", a, got, err)
		}
		if a.Compare(b) != strings.Compare(a.String(), b.String()) {
			t.Fatalf("%s and %s are ordered in two ways", a, b)
		}
	})
}

func drawRequestID(t *rapid.T, label string) RequestID {
	return RequestID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
}

func TestMalformedRequestIDsAreRefused(t *testing.T) {
	for _, s := range []string{"", "01ARYZ6S41TSV4RRFFQ69G5FA", "01ARYZ6S41TSV4RRFFQ69G5FAVX",
		"01ARYZ6S41TSV4RRFFQ69G5FAU", "81ARYZ6S41TSV4RRFFQ69G5FAV", "01ARYZ6S41TSV4RRFFQ69G5F\n\n", strings.Repeat("é", 13)} {
		if id, err := ParseRequestID(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: read as %s, %v", s, id, err)
		}
	}
}
