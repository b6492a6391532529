package main

import (
	"flag"
	"fmt"
)

// serviceFlags say which coordination services there are and how they are run.
type serviceFlags struct {
	Service   string `json:"service"` // for a verb that takes one
	Node      string `json:"node"`
	Engine    string `json:"engine"`
	Java      string `json:"java"`
	ClassPath string `json:"class_path"`
}

func (f *serviceFlags) declare(flags *flag.FlagSet) {
	flags.StringVar(&f.Node, "node", "../bin/node", "Synod's program")
	flags.StringVar(&f.Engine, "engine", "raft", "engine of its group: raft or paxos")
	flags.StringVar(&f.Java, "java", "java", "the virtual machine for ZooKeeper")
	flags.StringVar(&f.ClassPath, "classpath", "/usr/share/java/zookeeper.jar", "where ZooKeeper's classes are")
}

// service is the one with that name.
func (f *serviceFlags) service(name string) (service, error) {
	switch name {
	case "synod":
		return synodService{node: f.Node, engine: f.Engine}, nil
	case theirs:
		return zookeeper{java: f.Java, classPath: f.ClassPath}, nil
	default:
		return nil, fmt.Errorf("no service %q: there are synod and %s", name, theirs)
	}
}
