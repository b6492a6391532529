package jobs

import (
	"iter"

	"github.com/synod-go/synod/mesos"
)

// Renew is for the registry of a new cluster that has the jobs of another one ([mesos.RenewDocuments]): the numbers of
// its tasks begin apart beyond those that were set aside, since the other cluster may have given some more.
func Renew(documents iter.Seq[mesos.Document], apart uint64) []mesos.PutDocument {
	next := numberDocument{Next: 1}
	for d := range documents {
		if d.Name == numberName && decodeDocument(d, &next) != nil {
			return nil // New says so
		}
	}
	next.Next += apart
	return []mesos.PutDocument{{Name: numberName, Data: encodeDocument(next)}}
}
