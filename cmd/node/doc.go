// Command node is Synod's command line: it runs a node, starts a cluster to try
// things on, talks to any cluster, and looks into a node's files.
//
// Every verb explains itself with an example: node help VERB. Answers go to
// standard output, hints and progress to standard error, and the exit code says
// what kind of failure it was (package api lists them).
package main
