package mesoswire

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

func resourcesToWire(r mesos.Resources) []*messages.Resource {
	list := r.List()
	out := make([]*messages.Resource, len(list))
	for i := range list {
		out[i] = resourceToWire(&list[i])
	}
	return nonempty(out)
}

func resourceToWire(r *mesos.Resource) *messages.Resource {
	out := &messages.Resource{Name: &r.Name, Type: messages.Value_Type(r.Kind).Enum(), Role: optional(r.Role)}
	switch r.Kind {
	case mesos.ScalarKind:
		value := float64(r.Scalar) / 1000
		out.Scalar = &messages.Value_Scalar{Value: &value}
		if m, ok := mesos.MilliOf(value); !ok || m != r.Scalar {
			out.Scalar.Thousandths = proto.Int64(int64(r.Scalar))
		}
	case mesos.RangesKind:
		out.Ranges = &messages.Value_Ranges{Range: make([]*messages.Value_Range, len(r.Ranges))}
		for i := range r.Ranges {
			out.Ranges.Range[i] = &messages.Value_Range{Begin: &r.Ranges[i].Begin, End: &r.Ranges[i].End}
		}
	case mesos.SetKind:
		out.Set = &messages.Value_Set{Item: r.Set}
	}
	return out
}

func resourcesFromWire(list []*messages.Resource) (mesos.Resources, error) {
	if len(list) == 0 {
		return mesos.Resources{}, nil
	}
	out := make([]mesos.Resource, len(list))
	for i, m := range list {
		var err error
		if out[i], err = resourceFromWire(m); err != nil {
			return mesos.Resources{}, inList("resources", i, err)
		}
	}
	r, err := mesos.NewResources(out...)
	if err != nil {
		return mesos.Resources{}, badResources(err)
	}
	return r, nil
}

// badResources says what package mesos has found wrong.
func badResources(err error) error {
	return malformed("resources", "are wrong: "+strings.TrimPrefix(err.Error(), errors.Unwrap(err).Error()+": "))
}

func resourceFromWire(m *messages.Resource) (mesos.Resource, error) {
	out := mesos.Resource{Name: m.GetName(), Role: m.GetRole(), Kind: mesos.Kind(m.GetType())}
	switch reserved := m.Reservations; {
	case m.Name == nil:
		return out, missing("name")
	case m.Type == nil:
		return out, missing("type")
	case len(reserved) > 1:
		return out, malformed("reservations", "are more than one, which is not supported")
	case len(reserved) == 1:
		out.Role = reserved[0].GetRole()
	}
	switch *m.Type {
	case messages.Value_SCALAR:
		if m.Scalar == nil || m.Scalar.Value == nil && m.Scalar.Thousandths == nil {
			return out, missing("scalar.value")
		}
		ok := true
		if out.Scalar, ok = mesos.MilliOf(m.Scalar.GetValue()); m.Scalar.Thousandths != nil {
			out.Scalar, ok = mesos.Milli(*m.Scalar.Thousandths), *m.Scalar.Thousandths >= 0
		}
		if !ok {
			return out, malformed("scalar.value", "is no amount")
		}
	case messages.Value_RANGES:
		if m.Ranges == nil {
			return out, missing("ranges")
		}
		out.Ranges = make([]mesos.Range, len(m.Ranges.Range))
		for i, x := range m.Ranges.Range {
			if x.Begin == nil || x.End == nil {
				return out, inList("ranges.range", i, malformed("", "has no begin or no end"))
			}
			out.Ranges[i] = mesos.Range{Begin: *x.Begin, End: *x.End}
		}
	case messages.Value_SET:
		if m.Set == nil {
			return out, missing("set")
		}
		out.Set = m.Set.Item
	default:
		return out, malformed("type", "is no SCALAR, RANGES or SET")
	}
	return out, nil
}

// packedResources reads what mesos.Resources.Append has written; nothing is nothing.
func packedResources(data []byte) (mesos.Resources, error) {
	if len(data) == 0 {
		return mesos.Resources{}, nil
	}
	r, err := mesos.DecodeResources(data)
	if err != nil {
		return r, badResources(err)
	}
	return r, nil
}
