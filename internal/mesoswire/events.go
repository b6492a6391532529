package mesoswire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/proto"

	"github.com/synod-go/synod/mesos"
	"github.com/synod-go/synod/messages"
)

func eventToWire(event mesos.Event) (*messages.Event, error) {
	out := &messages.Event{}
	var kind messages.Event_Type
	switch e := event.(type) {
	case mesos.SubscribedEvent:
		kind, out.Subscribed = messages.Event_SUBSCRIBED, subscribedToWire(&e)
	case mesos.OffersEvent:
		kind, out.Offers = messages.Event_OFFERS, &messages.Event_Offers{Offers: make([]*messages.Offer, len(e.Offers))}
		for i := range e.Offers {
			out.Offers.Offers[i] = offerToWire(&e.Offers[i])
		}
	case mesos.RescindEvent:
		kind, out.Rescind = messages.Event_RESCIND, &messages.Event_Rescind{OfferId: offerID(e.Offer)}
	case mesos.UpdateEvent:
		kind, out.Update = messages.Event_UPDATE, &messages.Event_Update{Status: statusToWire(&e.Status)}
	case mesos.FailureEvent:
		kind, out.Failure = messages.Event_FAILURE, &messages.Event_Failure{AgentId: agentID(e.Agent)}
	case mesos.ErrorEvent:
		kind, out.Error = messages.Event_ERROR, &messages.Event_Error{Message: &e.Message}
	case mesos.HeartbeatEvent:
		kind = messages.Event_HEARTBEAT
	default:
		return nil, fmt.Errorf("mesoswire: a %T is no event", event)
	}
	out.Type = kind.Enum()
	return out, nil
}

func subscribedToWire(e *mesos.SubscribedEvent) *messages.Event_Subscribed {
	master := &messages.MasterInfo{Id: &e.Master, Ip: proto.Uint32(0), Port: proto.Uint32(0),
		ApiAddress: optional(e.Address), Term: proto.Uint64(uint64(e.Term))}
	if a, err := netip.ParseAddrPort(e.Address); err == nil {
		master.Port = proto.Uint32(uint32(a.Port()))
		master.Address = &messages.Address{Ip: proto.String(a.Addr().String()), Port: proto.Int32(int32(a.Port()))}
		if ip := a.Addr().Unmap(); ip.Is4() {
			four := ip.As4()
			master.Ip = proto.Uint32(binary.LittleEndian.Uint32(four[:]))
		}
	}
	return &messages.Event_Subscribed{FrameworkId: frameworkID(e.Framework),
		HeartbeatIntervalSeconds: secondsOf(e.Heartbeat), MasterInfo: master}
}

func offerToWire(o *mesos.OfferInfo) *messages.Offer {
	return &messages.Offer{
		Id: offerID(o.ID), FrameworkId: frameworkID(o.Framework), AgentId: agentID(o.Agent), Hostname: &o.Hostname,
		Address: optional(o.Address), AllocationInfo: &messages.Resource_AllocationInfo{Role: &o.Role},
		Attributes: attributesToWire(o.Attributes), Resources: resourcesToWire(o.Resources),
	}
}

func eventFromWire(m *messages.Event) (mesos.Event, error) {
	if m.Type == nil {
		return nil, missing("type")
	}
	switch *m.Type {
	case messages.Event_SUBSCRIBED:
		return fromWire("subscribed", m.Subscribed, subscribedFromWire)
	case messages.Event_OFFERS:
		return fromWire("offers", m.Offers, offersFromWire)
	case messages.Event_RESCIND:
		return fromWire("rescind", m.Rescind, func(m *messages.Event_Rescind) (mesos.Event, error) {
			id := mesos.OfferID(m.GetOfferId().GetValue())
			return mesos.RescindEvent{Offer: id}, present("offer_id.value", id)
		})
	case messages.Event_UPDATE:
		return fromWire("update", m.Update, func(m *messages.Event_Update) (mesos.Event, error) {
			if m.Status == nil {
				return nil, missing("status")
			}
			status, err := statusFromWire(m.Status)
			return mesos.UpdateEvent{Status: status}, in("status", err)
		})
	case messages.Event_FAILURE:
		return fromWire("failure", m.Failure, func(m *messages.Event_Failure) (mesos.Event, error) {
			id := mesos.AgentID(m.GetAgentId().GetValue())
			return mesos.FailureEvent{Agent: id}, present("agent_id.value", id)
		})
	case messages.Event_ERROR:
		return mesos.ErrorEvent{Message: m.GetError().GetMessage()}, nil
	case messages.Event_HEARTBEAT:
		return mesos.HeartbeatEvent{}, nil
	default:
		return nil, malformed("type", notSupported(int32(*m.Type), messages.Event_Type_name))
	}
}

// fromWire reads the field of an event's type, which has to be there.
func fromWire[M any](field string, m *M, read func(*M) (mesos.Event, error)) (mesos.Event, error) {
	if m == nil {
		return nil, missing(field)
	}
	event, err := read(m)
	if err != nil {
		return nil, in(field, err)
	}
	return event, nil
}

func subscribedFromWire(m *messages.Event_Subscribed) (mesos.Event, error) {
	out := mesos.SubscribedEvent{Framework: mesos.FrameworkID(m.GetFrameworkId().GetValue()), Master: m.GetMasterInfo().GetId(),
		Address: m.GetMasterInfo().GetApiAddress(), Term: mesos.Term(m.GetMasterInfo().GetTerm())}
	var err error
	out.Heartbeat, err = seconds("heartbeat_interval_seconds", m.GetHeartbeatIntervalSeconds())
	return out, first(err, present("framework_id.value", out.Framework))
}

func offersFromWire(m *messages.Event_Offers) (mesos.Event, error) {
	var out mesos.OffersEvent
	for i, o := range m.Offers {
		offer, err := offerFromWire(o)
		if err != nil {
			return nil, inList("offers", i, err)
		}
		out.Offers = append(out.Offers, offer)
	}
	return out, nil
}

func offerFromWire(m *messages.Offer) (mesos.OfferInfo, error) {
	out := mesos.OfferInfo{
		ID: mesos.OfferID(m.GetId().GetValue()), Framework: mesos.FrameworkID(m.GetFrameworkId().GetValue()),
		Role: m.GetAllocationInfo().GetRole(), Agent: mesos.AgentID(m.GetAgentId().GetValue()),
		Hostname: m.GetHostname(), Address: m.GetAddress(),
	}
	var wrong [5]error
	wrong[0] = present("id.value", out.ID)
	wrong[1] = present("framework_id.value", out.Framework)
	wrong[2] = present("agent_id.value", out.Agent)
	out.Attributes, wrong[3] = attributesFromWire(m.Attributes)
	out.Resources, wrong[4] = resourcesFromWire(m.Resources)
	return out, first(wrong[:]...)
}
