package api

import "time"

// What the routes of the cluster manager answer, as JSON. Times are Unix milliseconds,
// durations milliseconds, resources text as in "cpus:2;mem:1024".

// Agent is a machine that runs tasks.
type Agent struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"` // its hostname
	Address    string            `json:"address"`
	State      string            `json:"state"` // registered, disconnected, recovered, unreachable, gone
	Since      int64             `json:"since,omitempty"`
	Draining   bool              `json:"draining,omitempty"`
	Inactive   bool              `json:"inactive,omitempty"` // nothing more is offered of it
	Resources  string            `json:"resources"`
	Used       string            `json:"used"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Tasks      int               `json:"tasks"`
}

// Framework is what runs tasks on agents.
type Framework struct {
	ID              string   `json:"id"`
	Name            string   `json:"name"`
	Roles           []string `json:"roles"`
	Connected       bool     `json:"connected"`
	Since           int64    `json:"since"`
	FailoverTimeout int64    `json:"failover_timeout"`
	Used            string   `json:"used"`
	Tasks           int      `json:"tasks"`
}

// Task is one start of something on an agent.
type Task struct {
	Framework string `json:"framework"`
	ID        string `json:"id"`
	Name      string `json:"name"`
	Job       string `json:"job,omitempty"` // the job of the built-in framework that it belongs to
	Agent     string `json:"agent"`
	AgentName string `json:"agent_name"`
	Container string `json:"container"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
	Health    string `json:"health,omitempty"` // healthy, unhealthy
	Since     int64  `json:"since"`
	Exit      *int   `json:"exit,omitempty"`
	Signal    *int   `json:"signal,omitempty"`
	Resources string `json:"resources"`
}

// Job is a job of the built-in framework.
type Job struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	Version  uint64 `json:"version"`
	State    string `json:"state"`
	Progress string `json:"progress,omitempty"`
	Count    int    `json:"count"`
	Running  int    `json:"running"`
	Healthy  int    `json:"healthy"`
	Next     int64  `json:"next,omitempty"`
	// Spec is the job as a file would say it.
	Spec      string     `json:"spec,omitempty"`
	Instances []Instance `json:"instances"`
}

// Instance is one of a job's.
type Instance struct {
	Index    int      `json:"index"`
	Version  uint64   `json:"version"`
	Task     string   `json:"task,omitempty"`
	Agent    string   `json:"agent,omitempty"`
	State    string   `json:"state"`
	Health   string   `json:"health,omitempty"`
	Since    int64    `json:"since"`
	Restarts int      `json:"restarts,omitempty"`
	Ports    []uint16 `json:"ports,omitempty"`
	Image    string   `json:"image,omitempty"`   // of its container
	Pending  string   `json:"pending,omitempty"` // why nothing runs
	Message  string   `json:"message,omitempty"`
	Exit     *int     `json:"exit,omitempty"`
	Signal   *int     `json:"signal,omitempty"`
}

// Happening is something that an operator may want to know of.
type Happening struct {
	Sequence uint64    `json:"sequence"`
	Term     uint64    `json:"term"`
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`
	Subject  string    `json:"subject"`
	Text     string    `json:"text"`
}

// The routes that list answer one of these.
type (
	AgentList struct {
		Agents []Agent `json:"agents"`
	}
	FrameworkList struct {
		Frameworks []Framework `json:"frameworks"`
	}
	TaskList struct {
		Tasks []Task `json:"tasks"`
	}
	JobList struct {
		Jobs []Job `json:"jobs"`
	}
)

// Changed is the answer of a route that has changed something: an agent, a framework, a task
// ("framework/task") or a job, whose version is the new one.
type Changed struct {
	Name    string `json:"name"`
	Version uint64 `json:"version,omitempty"`
}

// ChangedJobs is the answer of PUT /v1/jobs, in the order of the file's documents.
type ChangedJobs struct {
	Jobs []Changed `json:"jobs"`
}

// headerOffset is in the answer of a log the offset in bytes of its first byte, so that a reader
// whose connection breaks off can go on from there.
const headerOffset = "Synod-Offset"
