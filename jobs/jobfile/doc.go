// Package jobfile reads the YAML files in which people describe jobs, and writes them. One
// document is one job; what is unknown or makes no sense is an error with its line.
//
//	name: web
//	count: 3
//	shell: python3 -m http.server $PORT     # or  exec: [program, argument]
//	cpus: 0.25
//	memory: 64MiB
//	ports: [http]                           # or  [{name: http, host: 8080}]
//	health: {http: /, port: http, every: 2s, fail_after: 3}
//	restart: {on: failure, backoff: 1s..30s, give_up_after: 5}
//	constraints: ["zone is a", "unique hostname"]
//	on_unreachable: replace after 30s       # or  keep, the default
//	update: {parallel: 1, healthy_after: 5s, deadline: 2m, rollback: true}
//
// With  runtime: docker  and  image: NAME  its instances are containers, with  once: true  it is a job
// that ends, with  schedule: "*/5 * * * *"  one that runs by a timetable. docs/jobs.md has all keys.
//
// It leaves to others what a job is and whether it can run (package jobs).
package jobfile
