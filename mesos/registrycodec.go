package mesos

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// An encoded command. Numbers are unsigned varints unless a size is given; a text is its
// length and its bytes; times are nanoseconds of Unix time; maps are a count and then keys
// and values, by ascending key, so that equal commands have equal bytes.
//
//	1 byte  version, 1
//	..      Term, count
//	..      each: 1 byte kind, the fields in the order of the type
const registryCommandVersion = 1

// Append encodes c at the end of dst. It checks nothing: Apply answers a command that makes
// no sense with a code. See Check.
func (c RegistryCommand) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, registryCommandVersion), uint64(c.Term))
	dst = binary.AppendUvarint(dst, uint64(len(c.Operations)))
	for _, o := range c.Operations {
		dst = o.appendTo(append(dst, byte(o.kind())))
	}
	return dst
}

// Check reports what Apply would answer as malformed or invalid whatever its state is.
func (c RegistryCommand) Check() error {
	for i, o := range c.Operations {
		if !o.valid() {
			return fmt.Errorf("operation %d, %T: %w", i, o, CodeInvalid.Err())
		}
	}
	_, err := DecodeRegistryCommand(c.Append(nil))
	return err
}

// DecodeRegistryCommand reads an encoded command. It shares nothing with data. The error
// matches [ErrRegistryMalformed].
func DecodeRegistryCommand(data []byte) (RegistryCommand, error) {
	c, ok := decodeRegistryCommand(data)
	if !ok {
		return RegistryCommand{}, fmt.Errorf("%w: command of %d bytes", ErrRegistryMalformed, len(data))
	}
	return c, nil
}

func decodeRegistryCommand(data []byte) (RegistryCommand, bool) {
	if len(data) > MaxRegistryBytes {
		return RegistryCommand{}, false
	}
	d := registryReader{data: data}
	if d.byteUpTo(registryCommandVersion) != registryCommandVersion {
		return RegistryCommand{}, false
	}
	c := RegistryCommand{Term: Term(d.number())}
	n := d.count(MaxRegistryOperations, 2)
	for range n {
		o := d.operation()
		if d.bad {
			return RegistryCommand{}, false
		}
		c.Operations = append(c.Operations, o)
	}
	return c, d.done() && n > 0
}

func (d *registryReader) operation() RegistryOperation {
	switch registryKind(d.byteUpTo(byte(lastRegistryKind))) {
	case kindElectMaster:
		return ElectMaster{Name: d.name(), Address: d.text()}
	case kindAdmitAgent:
		return AdmitAgent{Info: d.agentInfo(), Boot: d.text()}
	case kindUpdateAgent:
		return UpdateAgent{Info: d.agentInfo(), Boot: d.text()}
	case kindMarkUnreachable:
		return MarkUnreachable{Agent: AgentID(d.name()), Time: d.duration()}
	case kindMarkReachable:
		return MarkReachable{Info: d.agentInfo(), Boot: d.text()}
	case kindMarkGone:
		return MarkGone{Agent: AgentID(d.name()), Time: d.duration()}
	case kindRemoveAgent:
		return RemoveAgent{Agent: AgentID(d.name())}
	case kindDrainAgent:
		return DrainAgent{Agent: AgentID(d.name()), Deadline: d.duration()}
	case kindDeactivateAgent:
		return DeactivateAgent{Agent: AgentID(d.name())}
	case kindReactivateAgent:
		return ReactivateAgent{Agent: AgentID(d.name())}
	case kindPutFramework:
		return PutFramework{Info: d.frameworkInfo(), Connected: d.byteUpTo(1) == 1, Time: d.duration()}
	case kindDisconnectFramework:
		return DisconnectFramework{Framework: FrameworkID(d.name()), Time: d.duration()}
	case kindRemoveFramework:
		return RemoveFramework{Framework: FrameworkID(d.name()), Time: d.duration()}
	case kindAllowFramework:
		return AllowFramework{Framework: FrameworkID(d.name())}
	case kindSetWeight:
		return SetWeight{Role: d.name(), Weight: Milli(d.upTo(uint64(MaxWeight)))}
	case kindSetQuota:
		return SetQuota{Role: d.name(), Limited: d.byteUpTo(1) == 1, Limit: d.resources()}
	case kindPrune:
		return Prune{Before: d.duration(), Keep: int(d.upTo(maxRegistryRows))}
	case kindPutDocument:
		return PutDocument{Name: d.name(), Data: d.document()}
	case kindRemoveDocument:
		return RemoveDocument{Name: d.name()}
	default:
		d.fail()
		return nil
	}
}

func (o ElectMaster) appendTo(dst []byte) []byte {
	return registryText(registryText(dst, o.Name), o.Address)
}
func (o AdmitAgent) appendTo(dst []byte) []byte {
	return registryText(registryAgentInfo(dst, &o.Info), o.Boot)
}
func (o UpdateAgent) appendTo(dst []byte) []byte {
	return registryText(registryAgentInfo(dst, &o.Info), o.Boot)
}
func (o MarkUnreachable) appendTo(dst []byte) []byte {
	return binary.AppendUvarint(registryText(dst, o.Agent), uint64(o.Time))
}
func (o MarkReachable) appendTo(dst []byte) []byte {
	return registryText(registryAgentInfo(dst, &o.Info), o.Boot)
}
func (o MarkGone) appendTo(dst []byte) []byte {
	return binary.AppendUvarint(registryText(dst, o.Agent), uint64(o.Time))
}
func (o RemoveAgent) appendTo(dst []byte) []byte { return registryText(dst, o.Agent) }
func (o DrainAgent) appendTo(dst []byte) []byte {
	return binary.AppendUvarint(registryText(dst, o.Agent), uint64(o.Deadline))
}
func (o DeactivateAgent) appendTo(dst []byte) []byte { return registryText(dst, o.Agent) }
func (o ReactivateAgent) appendTo(dst []byte) []byte { return registryText(dst, o.Agent) }
func (o PutFramework) appendTo(dst []byte) []byte {
	dst = append(registryFrameworkInfo(dst, &o.Info), registryFlag(o.Connected))
	return binary.AppendUvarint(dst, uint64(o.Time))
}
func (o DisconnectFramework) appendTo(dst []byte) []byte {
	return binary.AppendUvarint(registryText(dst, o.Framework), uint64(o.Time))
}
func (o RemoveFramework) appendTo(dst []byte) []byte {
	return binary.AppendUvarint(registryText(dst, o.Framework), uint64(o.Time))
}
func (o AllowFramework) appendTo(dst []byte) []byte { return registryText(dst, o.Framework) }
func (o SetWeight) appendTo(dst []byte) []byte {
	return binary.AppendUvarint(registryText(dst, o.Role), uint64(o.Weight))
}
func (o SetQuota) appendTo(dst []byte) []byte {
	return registryResources(append(registryText(dst, o.Role), registryFlag(o.Limited)), o.Limit)
}
func (o Prune) appendTo(dst []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(o.Before)), uint64(o.Keep))
}

func (o PutDocument) appendTo(dst []byte) []byte {
	return registryText(registryText(dst, o.Name), string(o.Data))
}
func (o RemoveDocument) appendTo(dst []byte) []byte { return registryText(dst, o.Name) }

func registryFlag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func registryText[T ~string](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func registryResources(dst []byte, r Resources) []byte {
	return registryText(dst, string(r.Append(nil)))
}

func registryMap(dst []byte, m map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		dst = registryText(registryText(dst, k), m[k])
	}
	return dst
}

func registryAgentInfo(dst []byte, i *AgentInfo) []byte {
	dst = registryText(registryText(registryText(dst, i.ID), i.Hostname), i.Address)
	return registryMap(registryResources(dst, i.Resources), i.Attributes)
}

func registryFrameworkInfo(dst []byte, i *FrameworkInfo) []byte {
	dst = registryText(registryText(dst, i.ID), i.Name)
	dst = registryText(registryText(registryText(dst, i.User), i.Principal), i.Hostname)
	dst = binary.AppendUvarint(dst, uint64(len(i.Roles)))
	for _, role := range i.Roles {
		dst = registryText(dst, role)
	}
	return registryMap(binary.AppendUvarint(dst, uint64(i.FailoverTimeout)), i.Labels)
}

// registryReader reads what was encoded. After the first error all it returns is zero.
type registryReader struct {
	data []byte
	bad  bool
}

func (d *registryReader) fail() { d.bad, d.data = true, nil }

// done reports whether all was read, and well.
func (d *registryReader) done() bool { return !d.bad && len(d.data) == 0 }

// number refuses a varint that is longer than it has to be: equal values have equal bytes.
func (d *registryReader) number() uint64 {
	v, n := binary.Uvarint(d.data)
	if d.bad || n <= 0 || n > 1 && d.data[n-1] == 0 {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *registryReader) upTo(limit uint64) uint64 {
	v := d.number()
	if v > limit {
		d.fail()
		return 0
	}
	return v
}

func (d *registryReader) byteUpTo(limit byte) byte {
	if len(d.data) == 0 || d.data[0] > limit {
		d.fail()
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *registryReader) duration() time.Duration {
	return time.Duration(d.upTo(math.MaxInt64))
}

// count reads how many things follow, each of at least size bytes.
func (d *registryReader) count(limit, size int) int {
	n := int(d.upTo(uint64(limit)))
	if n*size > len(d.data) {
		d.fail()
		return 0
	}
	return n
}

func (d *registryReader) bytes(limit int) []byte {
	n := int(d.upTo(uint64(limit)))
	if n > len(d.data) {
		d.fail()
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *registryReader) name() string { return string(d.bytes(MaxNameBytes)) }
func (d *registryReader) text() string { return string(d.bytes(MaxRegistryText)) }

func (d *registryReader) document() []byte { return bytes.Clone(d.bytes(MaxDocumentBytes)) }

func (d *registryReader) resources() Resources {
	b := d.bytes(MaxRegistryResources)
	if d.bad {
		return Resources{}
	}
	r, err := DecodeResources(b) // which refuses what Append would write otherwise
	if err != nil {
		d.fail()
		return Resources{}
	}
	return r
}

func (d *registryReader) labels() map[string]string {
	n := d.count(MaxRegistryLabels, 2)
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	last := ""
	for i := range n {
		k := d.name()
		if i > 0 && k <= last {
			d.fail()
			return nil
		}
		m[k], last = d.text(), k
	}
	return m
}

func (d *registryReader) agentInfo() AgentInfo {
	return AgentInfo{ID: AgentID(d.name()), Hostname: d.text(), Address: d.text(), Resources: d.resources(), Attributes: d.labels()}
}

func (d *registryReader) frameworkInfo() FrameworkInfo {
	i := FrameworkInfo{ID: FrameworkID(d.name()), Name: d.text(), User: d.text(), Principal: d.text(), Hostname: d.text()}
	for range d.count(MaxRegistryLabels, 1) {
		i.Roles = append(i.Roles, d.name())
	}
	i.FailoverTimeout, i.Labels = d.duration(), d.labels()
	return i
}
