package backup

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func written(t *testing.T, h Header, contents ...string) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contents {
		if err := w.Group(strings.NewReader(c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if size, err := h.Size(); err != nil || size != int64(file.Len()) {
		t.Fatalf("%d bytes, Size says %d, %v", file.Len(), size, err)
	}
	return file.Bytes()
}

var two = Header{Cluster: "c", Groups: []Group{{Name: "a", Size: 3}, {Name: "b", Size: 5}}}

func TestABackupReadsAsItWasWritten(t *testing.T) {
	r, err := NewReader(bytes.NewReader(written(t, two, "one", "three")))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for {
		g, content, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		data, readErr := io.ReadAll(content)
		if err := errors.Join(err, readErr); err != nil {
			t.Fatal(err)
		}
		got += g.Name + "=" + string(data) + " "
	}
	if err := r.Close(); err != nil || got != "a=one b=three " || r.Header.Cluster != "c" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestEveryDamageIsFound(t *testing.T) {
	whole := written(t, two, "one", "three")
	for n := range whole {
		if _, err := Verify(bytes.NewReader(whole[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut off at %d: %v", n, err)
		}
		for bit := range 8 {
			damaged := bytes.Clone(whole)
			damaged[n] ^= 1 << bit
			_, err := Verify(bytes.NewReader(damaged))
			if format, newer := errors.AsType[*FormatError](err); !errors.Is(err, ErrCorrupt) && !(newer && format.Format > Format) {
				t.Fatalf("byte %d, bit %d: %v", n, bit, err)
			}
		}
	}
	if _, err := Verify(bytes.NewReader(append(bytes.Clone(whole), 0))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestAWriterTakesWhatItsHeaderSays(t *testing.T) {
	for _, content := range []string{"on", "ones"} {
		w, err := NewWriter(io.Discard, two)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Group(strings.NewReader(content)); err == nil {
			t.Errorf("%q is taken for 3 bytes", content)
		}
		if err := w.Close(); err == nil {
			t.Error("closed without the second group")
		}
	}
}
