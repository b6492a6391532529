package jobs

import (
	"slices"
	"testing"

	"github.com/synod-go/synod/mesos"
)

func TestTasksOfARenewedRegistryHaveNumbersOfTheirOwn(t *testing.T) {
	const apart = 1_000_000_000
	for _, backup := range [][]mesos.Document{nil, {{Name: numberName, Data: encodeDocument(numberDocument{10_001})}}} {
		old, err := New(Config{}, 0, slices.Values(backup))
		if err != nil {
			t.Fatal(err)
		}
		var documents []mesos.Document
		for _, d := range Renew(slices.Values(backup), apart) {
			documents = append(documents, mesos.Document(d))
		}
		fresh, err := New(Config{}, 0, slices.Values(documents))
		if err != nil {
			t.Fatal(err)
		}
		if fresh.next < old.next+apart || fresh.limit != fresh.next {
			t.Errorf("the next task has number %d of %d set aside; the old cluster began at %d", fresh.next, fresh.limit, old.next)
		}
	}
	if list := Renew(slices.Values([]mesos.Document{{Name: numberName, Data: []byte("{")}}), apart); list != nil {
		t.Errorf("a document that cannot be read becomes %q", list)
	}
}
