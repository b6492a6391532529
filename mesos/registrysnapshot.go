package mesos

import (
	"bufio"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
)

// A snapshot's bytes; equal registries give equal bytes. Numbers are unsigned varints unless
// a size is given; texts, maps and infos are as in commands.
//
//	8 bytes  "synodR" and the version, 1
//	..       the RegistryLimits; the index applied; the last master's Term, Name, Address
//	..       counts of agents, unreachable, gone, frameworks, removed, weights, quotas, documents
//	8 bytes  digest of the registry, big endian
//	..       the rows of each in that order, by ascending id, role or name, each with its length
//	         before it:
//	           agent        AgentInfo, boot, drain
//	           unreachable  id, since, address, boot, drain
//	           gone         id, since
//	           framework    FrameworkInfo, 1 byte: 1 if connected, since
//	           removed      id, name, since
//	           weight       role, weight
//	           quota        role, resources
//	           document     name, data
//	         a drain is 1 byte (1: draining, 2: deactivated) and the deadline
//	4 bytes  CRC32C of all before, big endian
const registryMagic = "synodR\x00\x01"

var registryCastagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot returns a picture of the present registry, whose WriteTo may run later on
// another goroutine while the registry changes. It costs what Clone costs.
func (r *Registry) Snapshot() (io.WriterTo, error) { return &registryPicture{r.Clone()}, nil }

type registryPicture struct{ r *Registry }

// WriteTo writes the snapshot.
func (p *registryPicture) WriteTo(w io.Writer) (int64, error) {
	e := &registryEncoder{w: bufio.NewWriterSize(w, 64<<10), sum: crc32.New(registryCastagnoli)}
	r := p.r
	e.header(r)
	encodeRows(e, &r.agents)
	encodeRows(e, &r.unreachable)
	encodeRows(e, &r.gone)
	encodeRows(e, &r.frameworks)
	encodeRows(e, &r.removed)
	encodeRows(e, &r.weights)
	encodeRows(e, &r.quotas)
	encodeRows(e, &r.documents)
	e.write(binary.BigEndian.AppendUint32(nil, e.sum.Sum32()))
	if e.err == nil {
		e.err = e.w.Flush()
	}
	return e.written, e.err
}

// registryEncoder writes the parts of a snapshot. After the first error it writes nothing.
type registryEncoder struct {
	w       *bufio.Writer
	sum     hash.Hash32
	written int64
	err     error
}

func (e *registryEncoder) write(p []byte) {
	if e.err != nil {
		return
	}
	e.sum.Write(p)
	n, err := e.w.Write(p)
	e.written += int64(n)
	e.err = err
}

func (e *registryEncoder) header(r *Registry) {
	b := []byte(registryMagic)
	for _, v := range r.limits.values() {
		b = binary.AppendUvarint(b, uint64(v))
	}
	b = binary.AppendUvarint(binary.AppendUvarint(b, r.applied), uint64(r.master.Term))
	b = registryText(registryText(b, r.master.Name), r.master.Address)
	for _, n := range r.counts() {
		b = binary.AppendUvarint(b, uint64(n))
	}
	e.write(binary.BigEndian.AppendUint64(b, r.Digest()))
}

// counts are the rows of each table in the order of the snapshot.
func (r *Registry) counts() [8]int {
	return [...]int{len(r.agents.rows), len(r.unreachable.rows), len(r.gone.rows), len(r.frameworks.rows),
		len(r.removed.rows), len(r.weights.rows), len(r.quotas.rows), len(r.documents.rows)}
}

func encodeRows[V any](e *registryEncoder, t *registryTable[V]) {
	var b, length []byte
	for _, row := range t.rows {
		b = t.encode(b[:0], &row.value)
		length = binary.AppendUvarint(length[:0], uint64(len(b)))
		e.write(length)
		e.write(b)
	}
}

func encodeDrain(dst []byte, d Drain) []byte {
	dst = append(dst, registryFlag(d.Draining)|registryFlag(d.Deactivated)<<1)
	return binary.AppendUvarint(dst, uint64(d.Deadline))
}

func encodeAgentRecord(dst []byte, a *AgentRecord) []byte {
	return encodeDrain(registryText(registryAgentInfo(dst, &a.Info), a.Boot), a.Drain)
}

func encodeUnreachableAgent(dst []byte, u *UnreachableAgent) []byte {
	dst = binary.AppendUvarint(registryText(dst, u.ID), uint64(u.Since))
	return encodeDrain(registryText(registryText(dst, u.Address), u.Boot), u.Drain)
}

func encodeGoneAgent(dst []byte, g *GoneAgent) []byte {
	return binary.AppendUvarint(registryText(dst, g.ID), uint64(g.Since))
}

func encodeFrameworkRecord(dst []byte, f *FrameworkRecord) []byte {
	dst = append(registryFrameworkInfo(dst, &f.Info), registryFlag(f.Connected))
	return binary.AppendUvarint(dst, uint64(f.Since))
}

func encodeRemovedFramework(dst []byte, f *RemovedFrameworkRecord) []byte {
	return binary.AppendUvarint(registryText(registryText(dst, f.ID), f.Name), uint64(f.Since))
}

func encodeRoleWeight(dst []byte, w *RoleWeight) []byte {
	return binary.AppendUvarint(registryText(dst, w.Role), uint64(w.Weight))
}

func encodeRoleQuota(dst []byte, q *RoleQuota) []byte {
	return registryResources(registryText(dst, q.Role), q.Limit)
}

func encodeDocument(dst []byte, d *Document) []byte {
	dst = registryText(dst, d.Name)
	return append(binary.AppendUvarint(dst, uint64(len(d.Data))), d.Data...)
}
