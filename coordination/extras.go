package coordination

import "encoding/binary"

// Tags of an operation's extras: fields that a plain Put or Delete does not have.
// The numbers are stable. A field that is zero is left out; numbers are unsigned
// varints, lists begin with their length, and flags are their tag alone.
const (
	tagCreateIndex = 1
	tagMode        = 2
	tagSequential  = 3 // a flag
	tagMakeParents = 4 // a flag
	tagTTL         = 5
	tagACL         = 6
	tagQuotaNodes  = 7
	tagQuotaBytes  = 8
	tagOperations  = 9 // each with its length before it
	tagTimeout     = 10
	tagLinger      = 11
	tagSessions    = 12
	tagEpoch       = 13
	tagSession     = 14 // Caller.Session
	tagKey         = 15 // 16 bytes
	tagPrincipals  = 16
	tagConnections = 17
	lastTag        = tagConnections

	tagsCaller extras = 1<<tagSession | 1<<tagKey | 1<<tagPrincipals
)

// extras is a set of tags.
type extras uint32

// most is the highest number that fits a signed one.
const most = 1<<63 - 1

func (o *Operation) appendExtras(dst []byte) []byte {
	dst = appendField(dst, tagCreateIndex, o.CreateIndex)
	dst = appendField(dst, tagMode, uint64(o.Mode))
	dst = appendFlag(dst, tagSequential, o.Sequential)
	dst = appendFlag(dst, tagMakeParents, o.MakeParents)
	dst = appendField(dst, tagTTL, uint64(o.TTL))
	if o.ACL != nil {
		dst = o.ACL.appendTo(append(dst, tagACL))
	}
	dst = appendField(dst, tagQuotaNodes, uint64(o.QuotaNodes))
	dst = appendField(dst, tagQuotaBytes, uint64(o.QuotaBytes))
	if len(o.Operations) > 0 {
		dst = binary.AppendUvarint(append(dst, tagOperations), uint64(len(o.Operations)))
		for _, part := range o.Operations {
			dst = appendString(dst, string(part.Append(nil)))
		}
	}
	dst = appendField(dst, tagTimeout, uint64(o.Timeout))
	dst = appendField(dst, tagLinger, uint64(o.Linger))
	dst = appendNumbers(dst, tagSessions, o.Sessions)
	dst = appendField(dst, tagEpoch, o.Epoch)
	dst = o.Caller.appendTo(dst)
	return appendNumbers(dst, tagConnections, o.Connections)
}

func (c *Caller) appendTo(dst []byte) []byte {
	dst = appendField(dst, tagSession, c.Session)
	if c.Key != (SessionKey{}) {
		dst = append(append(dst, tagKey), c.Key[:]...)
	}
	if len(c.Principals) > 0 {
		dst = binary.AppendUvarint(append(dst, tagPrincipals), uint64(len(c.Principals)))
		for _, p := range c.Principals {
			dst = p.appendTo(dst)
		}
	}
	return dst
}

func appendField(dst []byte, tag byte, value uint64) []byte {
	if value == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, tag), value)
}

func appendNumbers(dst []byte, tag byte, numbers []uint64) []byte {
	if len(numbers) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, tag), uint64(len(numbers)))
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func appendFlag(dst []byte, tag byte, set bool) []byte {
	if !set {
		return dst
	}
	return append(dst, tag)
}

func (p Principal) appendTo(dst []byte) []byte {
	return appendString(appendString(dst, p.Scheme), p.ID)
}

// extras reads all up to the 0 and returns which there were.
func (d *decoder) extras(o *Operation) (present extras) {
	last := uint64(0)
	for {
		tag := d.upTo(lastTag)
		if d.bad || tag == 0 {
			return present
		}
		if tag <= last {
			d.fail()
			return 0
		}
		d.extra(o, tag)
		last = tag
		present |= 1 << tag
	}
}

func (d *decoder) extra(o *Operation, tag uint64) {
	switch tag {
	case tagCreateIndex:
		o.CreateIndex = d.number()
	case tagMode:
		o.Mode = Mode(d.upTo(uint64(TTL)))
	case tagSequential:
		o.Sequential = true
	case tagMakeParents:
		o.MakeParents = true
	case tagTTL:
		o.TTL = int64(d.upTo(uint64(MaxTTL)))
	case tagACL:
		o.ACL = d.acl()
	case tagQuotaNodes:
		o.QuotaNodes = int64(d.upTo(most))
	case tagQuotaBytes:
		o.QuotaBytes = int64(d.upTo(most))
	case tagOperations:
		o.Operations = d.operations()
	case tagTimeout:
		o.Timeout = int64(d.upTo(most))
	case tagLinger:
		o.Linger = int64(d.upTo(most))
	case tagSessions:
		o.Sessions = d.numbers(MaxExpired)
	case tagEpoch:
		o.Epoch = d.number()
	case tagSession:
		o.Caller.Session = d.number()
	case tagKey:
		copy(o.Caller.Key[:], d.next(uint64(len(o.Caller.Key))))
	case tagPrincipals:
		for n := d.upTo(MaxPrincipals); n > 0 && !d.bad; n-- {
			o.Caller.Principals = append(o.Caller.Principals, d.principal())
		}
	case tagConnections:
		o.Connections = d.numbers(MaxExpired)
	}
}

// numbers reads a list of at most so many.
func (d *decoder) numbers(most uint64) (all []uint64) {
	for n := d.upTo(most); n > 0 && !d.bad; n-- {
		all = append(all, d.number())
	}
	return all
}

// operations reads the parts of a Multi.
func (d *decoder) operations() (all []Operation) {
	for n := d.upTo(MaxOperations); n > 0 && !d.bad; n-- {
		var o Operation
		kind := OperationKind(0)
		part := d.bytes(most)
		if len(part) > 0 {
			kind = OperationKind(part[0])
		}
		// Looked at first, so that nothing is nested in what may not be there.
		if kind == 0 || kind > SetACL {
			d.fail()
			return nil
		}
		path, ok := decodeOperation(part, &o)
		if !ok || o.Caller.Session != 0 || o.Caller.Key != (SessionKey{}) || o.Caller.Principals != nil {
			d.fail()
			return nil
		}
		o.Path = string(path)
		all = append(all, o)
	}
	return all
}

func (d *decoder) principal() Principal {
	return Principal{Scheme: string(d.bytes(MaxPrincipalBytes)), ID: string(d.bytes(MaxPrincipalBytes))}
}
