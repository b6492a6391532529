package framework_test

import (
	"fmt"

	"github.com/synod-go/synod/mesos"
)

// web is a task in a container for an offer: on an agent that has Docker, and with one of its
// ports passed on. A Scheduler hands it to Session.Accept as any other task.
func web(offer mesos.OfferInfo, id mesos.TaskID) (task mesos.TaskInfo, ok bool) {
	if offer.Attributes[mesos.DockerAttribute] == "" {
		return task, false
	}
	for _, r := range offer.Resources.List() {
		if r.Name != "ports" || len(r.Ranges) == 0 {
			continue
		}
		port := r.Ranges[0].Begin
		takes, err := mesos.ParseResources(fmt.Sprintf("cpus:0.1;mem:64;ports:[%d-%d]", port, port))
		if err != nil || !offer.Resources.Contains(takes) {
			return task, false
		}
		return mesos.TaskInfo{ID: id, Name: "web", Agent: offer.Agent, Resources: takes,
			Docker: &mesos.Docker{Image: "web:1", ReadOnly: true, Ports: []mesos.PortMapping{{Host: uint16(port), Container: 80}}},
			Health: &mesos.HealthCheck{Kind: mesos.HealthHTTP, Port: uint16(port)}}, true
	}
	return task, false
}

func Example_docker() {
	resources, err := mesos.ParseResources("cpus:2;mem:1024;ports:[31000-31099]")
	if err != nil {
		fmt.Println(err)
		return
	}
	offer := mesos.OfferInfo{Agent: "a1", Resources: resources}
	_, ok := web(offer, "web-1")
	fmt.Println("without Docker:", ok)
	offer.Attributes = map[string]string{mesos.DockerAttribute: "20.10"}
	task, ok := web(offer, "web-1")
	fmt.Println("with Docker:", ok, task.Docker.Image, task.Docker.Ports, task.Resources)
	// Output:
	// without Docker: false
	// with Docker: true web:1 [{31000 80 }] cpus:0.1;mem:64;ports:[31000-31000]
}
