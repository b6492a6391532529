package api

import (
	"github.com/synod-go/synod/actors/master"
	"github.com/synod-go/synod/mesos"
)

// masterMetrics are those of a node's master: what there is in the cluster is told by the
// one that leads alone.
func masterMetrics(h *master.Handle) []Metric {
	if h == nil {
		return nil
	}
	m := h.Metrics()
	leads := 0.0
	if m.Leads {
		leads = 1
	}
	from := func(who string) []Label { return []Label{{"from", who}} }
	list := []Metric{
		{"synod_master_leads", "1 if this node's master leads.", "gauge", nil, leads},
		{"synod_master_term", "The term of the leading master; 0 on others.", "gauge", nil, float64(m.Term)},
		{"synod_master_registry_commits_total", "Commands of the registry that were committed.", "counter", nil, float64(m.Commits)},
		{"synod_master_messages_total", "What agents and schedulers have sent.", "counter", from("agent"), float64(m.Messages)},
		{"synod_master_messages_total", "What agents and schedulers have sent.", "counter", from("scheduler"), float64(m.Calls)},
		{"synod_master_connections", "Connected agents and schedulers.", "gauge", from("agent"), float64(m.Links)},
		{"synod_master_connections", "Connected agents and schedulers.", "gauge", from("scheduler"), float64(m.Subscriptions)},
	}
	if !m.Leads {
		return list
	}
	v, err := h.Recent()
	if err != nil {
		return list
	}
	return append(list, viewMetrics(v)...)
}

func viewMetrics(v *mesos.MasterView) (list []Metric) {
	agents, tasks := map[string]int{}, map[mesos.TaskState]int{}
	for i := range v.Agents {
		agents[v.Agents[i].State]++
	}
	for i := range v.Tasks {
		tasks[v.Tasks[i].Task.State]++
	}
	for _, state := range []string{"registered", "disconnected", "recovered", "unreachable", "gone"} {
		list = append(list, Metric{"synod_agents", "Agents by state.", "gauge", []Label{{"state", state}}, float64(agents[state])})
	}
	for state := mesos.Starting; state <= mesos.Unknown; state++ {
		list = append(list, Metric{"synod_tasks", "Tasks by state; of those that have ended the last ones.", "gauge", []Label{{"state", state.String()}}, float64(tasks[state])})
	}
	connected, offers := 0, 0
	for i := range v.Frameworks {
		offers += v.Frameworks[i].Offers
		if v.Frameworks[i].Connected {
			connected++
		}
	}
	return append(list,
		Metric{"synod_frameworks", "Frameworks that are not removed.", "gauge", []Label{{"connected", "true"}}, float64(connected)},
		Metric{"synod_frameworks", "Frameworks that are not removed.", "gauge", []Label{{"connected", "false"}}, float64(len(v.Frameworks) - connected)},
		Metric{"synod_offers", "Offers that are out.", "gauge", nil, float64(offers)})
}
