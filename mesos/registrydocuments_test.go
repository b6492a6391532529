package mesos

import (
	"fmt"
	"testing"
)

func TestDocumentsAreKeptByNameAndGoneThroughByPrefix(t *testing.T) {
	b := elected(t, RegistryLimits{})
	for i, name := range []string{"i.web.1", "j.web", "i.web.0", "i.wea", "i.web."} {
		b.want(1, PutDocument{name, []byte{byte(i)}}, CodeOK)
	}
	b.want(1, PutDocument{"j.web", []byte{9}}, CodeOK)
	b.want(1, PutDocument{"j.web", []byte{9}}, CodeOK) // changes nothing
	b.want(1, RemoveDocument{"i.web."}, CodeOK)
	b.want(1, RemoveDocument{"i.web."}, CodeOK)
	for prefix, want := range map[string]string{"i.web.": "i.web.0 i.web.1 ", "": "i.wea i.web.0 i.web.1 j.web ", "j.web": "j.web ", "k": "", "i.web.00": ""} {
		got := ""
		for d := range b.r.Documents(prefix) {
			got += d.Name + " "
		}
		if got != want {
			t.Errorf("documents %q*: %q, want %q", prefix, got, want)
		}
	}
	if d, ok := b.r.Document("j.web"); !ok || string(d.Data) != "\x09" {
		t.Errorf("%+v, %t", d, ok)
	}
	if _, ok := b.r.Document("j.we"); ok {
		t.Error("there is a document that nobody has put")
	}
}

// What fills the documents' room leaves that of agents alone.
func TestDocumentsHaveBoundsOfTheirOwn(t *testing.T) {
	b := elected(t, RegistryLimits{Documents: 2, DocumentBytes: 30})
	b.want(1, PutDocument{"a", make([]byte, 10)}, CodeOK) // 14 bytes
	b.want(1, PutDocument{"b", make([]byte, 13)}, CodeFull)
	b.want(1, PutDocument{"b", make([]byte, 12)}, CodeOK)
	b.want(1, PutDocument{"c", nil}, CodeFull)
	b.want(1, PutDocument{"a", make([]byte, 11)}, CodeFull)
	b.want(1, PutDocument{"a", make([]byte, 9)}, CodeOK)
	b.want(1, admit("x"), CodeOK)
	if s := b.r.Status(); s.Documents != 2 || s.Limits.DocumentBytes != 30 {
		t.Errorf("%+v", s)
	}
}

// A master keeps documents for who asks it to, and answers when they are in the registry.
func TestAMasterSavesDocuments(t *testing.T) { // M-4
	l := newLaunched(t, nil)
	for i, c := range []struct {
		operation RegistryOperation
		code      CallCode
		kept      bool
	}{{PutDocument{"d", []byte("x")}, CallAccepted, true}, {PutDocument{"a/b", nil}, CallRefused, true}, {RemoveDocument{"d"}, CallAccepted, false}} {
		l.m.Operate(l.now, uint64(100+i), c.operation)
		l.run()
		if got := l.answers[len(l.answers)-1]; got.Request != uint64(100+i) || got.Code != c.code {
			t.Errorf("%+v is answered %+v, want %v", c.operation, got, c.code)
		}
		if _, kept := l.registry.Document("d"); kept != c.kept {
			t.Errorf("after %+v the document is there: %t", c.operation, kept)
		}
	}
}

// Of 200,000 documents one is changed, with a clone held between, as a master's readers would.
func BenchmarkRegistryDocuments(b *testing.B) {
	r := elected(b, RegistryLimits{})
	data := make([]byte, 200)
	for i := range 200_000 {
		r.r.Carry(1, RegistryCommand{Term: 1, Operations: []RegistryOperation{PutDocument{fmt.Sprintf("i.%06d", i), data}}})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		_ = r.r.Clone()
		data[0]++
		r.r.Carry(1, RegistryCommand{Term: 1, Operations: []RegistryOperation{PutDocument{fmt.Sprintf("i.%06d", i*7919%200_000), append([]byte(nil), data...)}}})
	}
}
