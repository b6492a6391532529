package mesoswire

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

func frameworkToWire(f *mesos.FrameworkInfo) *messages.FrameworkInfo {
	out := &messages.FrameworkInfo{
		User: proto.String(f.User), Name: proto.String(f.Name), Principal: optional(f.Principal),
		Hostname: optional(f.Hostname), Roles: f.Roles, Labels: labelsToWire(f.Labels),
		FailoverTimeout: secondsOf(f.FailoverTimeout), FailoverTimeoutNs: exactly(f.FailoverTimeout),
	}
	if f.ID != "" {
		out.Id = &messages.FrameworkID{Value: proto.String(string(f.ID))}
	}
	return out
}

func frameworkFromWire(m *messages.FrameworkInfo) (mesos.FrameworkInfo, error) {
	out := mesos.FrameworkInfo{
		ID: mesos.FrameworkID(m.GetId().GetValue()), Name: m.GetName(), User: m.GetUser(),
		Principal: m.GetPrincipal(), Hostname: m.GetHostname(), Roles: nonempty(m.GetRoles()),
	}
	switch {
	case m.Name == nil:
		return out, missing("name")
	case m.Id != nil && out.ID == "":
		return out, missing("id.value")
	case out.Roles == nil && m.Role != nil:
		out.Roles = []string{*m.Role}
	}
	var wrong [2]error
	out.FailoverTimeout, wrong[0] = exactSeconds("failover_timeout", m.GetFailoverTimeout(), m.FailoverTimeoutNs)
	out.Labels, wrong[1] = labelsFromWire(m.Labels)
	return out, first(wrong[:]...)
}

func agentToWire(a *mesos.AgentInfo) *messages.AgentInfo {
	out := &messages.AgentInfo{
		Hostname: proto.String(a.Hostname), Address: optional(a.Address),
		Resources: resourcesToWire(a.Resources), Attributes: attributesToWire(a.Attributes),
	}
	if a.ID != "" {
		out.Id = agentID(a.ID)
	}
	return out
}

func agentFromWire(m *messages.AgentInfo) (mesos.AgentInfo, error) {
	out := mesos.AgentInfo{ID: mesos.AgentID(m.GetId().GetValue()), Hostname: m.GetHostname(), Address: m.GetAddress()}
	switch {
	case m.Hostname == nil:
		return out, missing("hostname")
	case m.Id != nil && out.ID == "":
		return out, missing("id.value")
	}
	var wrong [2]error
	out.Resources, wrong[0] = resourcesFromWire(m.Resources)
	out.Attributes, wrong[1] = attributesFromWire(m.Attributes)
	return out, first(wrong[:]...)
}

func attributesToWire(attributes map[string]string) []*messages.Attribute {
	out := make([]*messages.Attribute, 0, len(attributes))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		out = append(out, &messages.Attribute{Name: proto.String(name), Type: messages.Value_TEXT.Enum(),
			Text: &messages.Value_Text{Value: proto.String(attributes[name])}})
	}
	return nonempty(out)
}

// attributesFromWire takes the last of attributes with one name.
func attributesFromWire(list []*messages.Attribute) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(map[string]string, len(list))
	for i, m := range list {
		switch {
		case m.Name == nil:
			return nil, inList("attributes", i, missing("name"))
		case m.Type == nil:
			return nil, inList("attributes", i, missing("type"))
		case *m.Type != messages.Value_TEXT:
			return nil, inList("attributes", i, malformed("type", "is not TEXT, which is all that is supported"))
		case m.Text == nil || m.Text.Value == nil:
			return nil, inList("attributes", i, missing("text.value"))
		}
		out[*m.Name] = *m.Text.Value
	}
	return out, nil
}

func agentID(id mesos.AgentID) *messages.AgentID {
	return &messages.AgentID{Value: proto.String(string(id))}
}

// optionalAgent is nil for no agent.
func optionalAgent(id mesos.AgentID) *messages.AgentID {
	if id == "" {
		return nil
	}
	return agentID(id)
}

func taskID(id mesos.TaskID) *messages.TaskID {
	return &messages.TaskID{Value: proto.String(string(id))}
}

func offerID(id mesos.OfferID) *messages.OfferID {
	return &messages.OfferID{Value: proto.String(string(id))}
}

func frameworkID(id mesos.FrameworkID) *messages.FrameworkID {
	return &messages.FrameworkID{Value: proto.String(string(id))}
}

func offerIDs(list []mesos.OfferID) []*messages.OfferID {
	out := make([]*messages.OfferID, len(list))
	for i, id := range list {
		out[i] = offerID(id)
	}
	return out
}

func offerIDsFromWire(list []*messages.OfferID) ([]mesos.OfferID, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]mesos.OfferID, len(list))
	for i, m := range list {
		if m.GetValue() == "" {
			return nil, inList("offer_ids", i, missing("value"))
		}
		out[i] = mesos.OfferID(*m.Value)
	}
	return out, nil
}

// present says what is missing if value is empty.
func present[T ~string](field string, value T) error {
	if value == "" {
		return missing(field)
	}
	return nil
}
