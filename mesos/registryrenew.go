package mesos

import (
	"cmp"
	"iter"
)

// termsIn is how many indexes count for one term, and for one number of a document. A new cluster's indexes are so far from
// those of the cluster whose state it has that its terms are too: far more than that one can have had since. Agents
// keep the highest term that they have seen, and take no master of an earlier one.
const termsIn = 1000

// RenewDocuments returns what is to be in the documents of a new cluster, of which numbers are to be at least apart
// beyond those that are there.
type RenewDocuments func(documents iter.Seq[Document], apart uint64) []PutDocument

// OnRenew sets what Renew makes of documents: their writer alone knows which numbers in them must never be given
// again. Restore keeps it. Default nil: nothing.
func (r *Registry) OnRenew(f RenewDocuments) { r.renew = f }

// Renew makes the registry that of a new cluster (replica.Renewer). Agents, frameworks
// and jobs stay under their ids; the next master to be elected has a term of its own.
func (r *Registry) Renew(index uint64, _ int64) {
	apart := (index - min(index, r.applied)) / termsIn
	r.master.Term += Term(apart)
	r.master.Name = cmp.Or(r.master.Name, "restored") // there may have been none yet
	r.applied = index
	if r.renew == nil {
		return
	}
	for _, d := range r.renew(r.Documents(""), apart) {
		d.carryOut(r) // a registry that is full has none of the numbers either
	}
}
