package mesos

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Restore replaces the registry by the one a snapshot holds. It changes nothing before it
// has read and verified all of it. Errors match [ErrRegistryCorrupt] or are the reader's.
// It may read beyond the end of the snapshot.
func (r *Registry) Restore(from io.Reader) error {
	d := &registryRestorer{r: bufio.NewReaderSize(from, 64<<10)}
	restored := d.registry()
	if d.err != nil {
		return d.err
	}
	restored.renew = r.renew
	*r = *restored
	return nil
}

// registryRestorer reads the parts of a snapshot. After the first error it reads nothing
// and returns zeros.
type registryRestorer struct {
	r   *bufio.Reader
	sum uint32
	err error
}

func (d *registryRestorer) registry() *Registry {
	r, counts, digest := d.header()
	if d.err != nil {
		return nil
	}
	decodeRows(d, &r.agents, counts[0], maxAgentRow, (*registryReader).agentRecord)
	decodeRows(d, &r.unreachable, counts[1], maxShortRow, (*registryReader).unreachableAgent)
	decodeRows(d, &r.gone, counts[2], maxShortRow, (*registryReader).goneAgent)
	decodeRows(d, &r.frameworks, counts[3], maxAgentRow, (*registryReader).frameworkRecord)
	decodeRows(d, &r.removed, counts[4], maxShortRow, (*registryReader).removedFramework)
	decodeRows(d, &r.weights, counts[5], maxShortRow, (*registryReader).roleWeight)
	decodeRows(d, &r.quotas, counts[6], maxAgentRow, (*registryReader).roleQuota)
	decodeRows(d, &r.documents, counts[7], maxDocumentRow, (*registryReader).documentRow)
	if sum := d.sum; binary.BigEndian.Uint32(d.read(4)) != sum {
		d.corrupt("wrong checksum")
	}
	if d.err == nil {
		d.consistent(r)
	}
	if d.err == nil && r.Digest() != digest {
		d.corrupt("the registry has digest %016x, should have %016x", r.Digest(), digest)
	}
	return r
}

// The longest rows that valid operations make: texts with their lengths, and what little
// else there is.
const (
	maxDocumentRow = MaxDocumentBytes + MaxNameBytes + 8

	maxShortRow = 3*(MaxRegistryText+2) + 64
	maxAgentRow = MaxRegistryResources + MaxRegistryLabels*(2*MaxNameBytes+MaxRegistryText+8) + 6*(MaxRegistryText+2) + 64
)

func (d *registryRestorer) corrupt(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrRegistryCorrupt}, args...)...)
	}
}

func (d *registryRestorer) fail(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		d.corrupt("cut off")
	} else if d.err == nil {
		d.err = fmt.Errorf("mesos: read registry snapshot: %w", err)
	}
}

// read returns the next n bytes, of which there are never many, or zeros after an error.
func (d *registryRestorer) read(n int) []byte {
	p := make([]byte, n)
	if d.err == nil {
		if _, err := io.ReadFull(d.r, p); err != nil {
			clear(p)
			d.fail(err)
		}
	}
	d.sum = crc32.Update(d.sum, registryCastagnoli, p)
	return p
}

// ReadByte is for binary.ReadUvarint.
func (d *registryRestorer) ReadByte() (byte, error) {
	b, err := d.r.ReadByte()
	if err != nil {
		d.fail(err)
		return 0, err
	}
	d.sum = crc32.Update(d.sum, registryCastagnoli, []byte{b})
	return b, nil
}

func (d *registryRestorer) number() uint64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(d)
	if err != nil {
		d.corrupt("%v", err) // unless ReadByte has failed
		return 0
	}
	return v
}

func (d *registryRestorer) size(what string, limit int64) int {
	n := d.number()
	if n > uint64(limit) {
		d.corrupt("%s %d, at most %d", what, n, limit)
		return 0
	}
	return int(n)
}

func (d *registryRestorer) text(what string, limit int64) string {
	return string(d.read(d.size(what, limit)))
}

func (d *registryRestorer) header() (r *Registry, counts [8]int, digest uint64) {
	if magic := d.read(len(registryMagic)); d.err == nil && string(magic) != registryMagic {
		d.corrupt("not a snapshot of version %d: begins with %q", registryMagic[7], magic)
	}
	var values [registryLimitCount]int64
	for i := range values {
		values[i] = int64(d.number())
	}
	limits := registryLimitsOf(values)
	if err := limits.check(); d.err == nil && err != nil {
		d.corrupt("%v", err)
	}
	r = newRegistry(limits)
	r.applied, r.master.Term = d.number(), Term(d.number())
	r.master.Name, r.master.Address = d.text("name", MaxNameBytes), d.text("address", MaxRegistryText)
	if master := (ElectMaster{Name: r.master.Name, Address: r.master.Address}); d.err == nil &&
		(r.master.Term == 0 && r.master != ElectedMaster{} || r.master.Term > 0 && !master.valid()) {
		d.corrupt("master %+v", r.master)
	}
	most := [...]int{limits.Agents, limits.Unreachable, limits.Gone, limits.Frameworks, limits.Removed, limits.Roles, limits.Roles,
		limits.Documents}
	for i := range counts {
		counts[i] = d.size("count", int64(most[i]))
	}
	return r, counts, binary.BigEndian.Uint64(d.read(8))
}

// decodeRows reads a table's rows. They must be as an encoder writes them.
func decodeRows[V any](d *registryRestorer, t *registryTable[V], count int, limit int64, decode func(*registryReader) (string, V, bool)) {
	for i := 0; i < count && d.err == nil; i++ {
		data := d.read(d.size("row", limit))
		reader := registryReader{data: data}
		key, value, valid := decode(&reader)
		if d.err != nil {
			return
		}
		if !reader.done() || !valid || len(t.rows) > 0 && t.rows[len(t.rows)-1].key >= key {
			d.corrupt("row %d of %d of table %c: %q", i, count, t.tag, data[:min(len(data), 64)])
			return
		}
		row := t.row(key, value)
		t.rows = append(t.rows, row)
		t.account(row, 1)
	}
}

// consistent checks what holds between tables.
func (d *registryRestorer) consistent(r *Registry) {
	for _, row := range r.unreachable.rows {
		if _, ok := r.agents.find(row.key); ok {
			d.corrupt("agent %q is admitted and unreachable", row.key)
		}
	}
	for _, row := range r.gone.rows {
		if r.Standing(AgentID(row.key)) != StandingGone {
			d.corrupt("agent %q is gone and is not", row.key)
		}
		if _, ok := r.agents.find(row.key); ok {
			d.corrupt("agent %q is admitted and gone", row.key)
		}
	}
	for _, row := range r.removed.rows {
		if _, ok := r.frameworks.find(row.key); ok {
			d.corrupt("framework %q is removed and is not", row.key)
		}
	}
}

func (d *registryReader) drain() Drain {
	flags := d.byteUpTo(3)
	v := Drain{Draining: flags&1 != 0, Deactivated: flags&2 != 0, Deadline: d.duration()}
	if v.Draining && !v.Deactivated || !v.Draining && v.Deadline != 0 {
		d.fail()
	}
	return v
}

func (d *registryReader) agentRecord() (string, AgentRecord, bool) {
	a := AgentRecord{Info: d.agentInfo(), Boot: d.text(), Drain: d.drain()}
	return string(a.Info.ID), a, validAgent(&a.Info, a.Boot)
}

func (d *registryReader) unreachableAgent() (string, UnreachableAgent, bool) {
	u := UnreachableAgent{ID: AgentID(d.name()), Since: d.duration(), Address: d.text(), Boot: d.text(), Drain: d.drain()}
	return string(u.ID), u, validID(u.ID)
}

func (d *registryReader) goneAgent() (string, GoneAgent, bool) {
	g := GoneAgent{ID: AgentID(d.name()), Since: d.duration()}
	return string(g.ID), g, validID(g.ID)
}

func (d *registryReader) frameworkRecord() (string, FrameworkRecord, bool) {
	f := FrameworkRecord{Info: d.frameworkInfo(), Connected: d.byteUpTo(1) == 1, Since: d.duration()}
	return string(f.Info.ID), f, PutFramework{Info: f.Info}.valid()
}

func (d *registryReader) removedFramework() (string, RemovedFrameworkRecord, bool) {
	f := RemovedFrameworkRecord{ID: FrameworkID(d.name()), Name: d.text(), Since: d.duration()}
	return string(f.ID), f, validID(f.ID)
}

func (d *registryReader) roleWeight() (string, RoleWeight, bool) {
	w := RoleWeight{Role: d.name(), Weight: Milli(d.number())}
	return w.Role, w, w.Weight > 0 && SetWeight(w).valid()
}

func (d *registryReader) roleQuota() (string, RoleQuota, bool) {
	q := RoleQuota{Role: d.name(), Limit: d.resources()}
	return q.Role, q, SetQuota{Role: q.Role, Limit: q.Limit}.valid()
}

func (d *registryReader) documentRow() (string, Document, bool) {
	v := Document{Name: d.name(), Data: d.document()}
	return v.Name, v, PutDocument(v).valid()
}
