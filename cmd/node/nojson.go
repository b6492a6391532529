package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// Why a verb has no answer in JSON.
const (
	untilStopped  = "it runs until it is stopped"
	outputOfCMD   = "its output is that of CMD"
	outputOfTasks = "its output is what tasks write"
	outputIsText  = "its output is a text for people or a shell"
)

// withoutJSON are the verbs that have no answer in JSON, with the reason: it stands in their help. Their errors are JSON with
// --output json, as those of all verbs are.
var withoutJSON = map[string]string{
	"dev": untilStopped, "start": untilStopped, "agent": untilStopped, "hello": untilStopped,
	"lock": outputOfCMD, "session run": outputOfCMD, "barrier enter": outputOfCMD, "exec": outputOfCMD,
	"logs": outputOfTasks, "render": "it writes a file", "decree recording": "its output is a recording, JSON in any case",
	"help": outputIsText, "completion bash": outputIsText, "completion zsh": outputIsText, "completion fish": outputIsText, "completion powershell": outputIsText,
}

// sayNoJSON adds the reason to the help of these verbs.
func sayNoJSON(c *cobra.Command) {
	for _, child := range c.Commands() {
		sayNoJSON(child)
	}
	if why := withoutJSON[pathOf(c)]; why != "" {
		long := c.Long
		if long == "" {
			long = strings.ToUpper(c.Short[:1]) + c.Short[1:] + "."
		}
		c.Long = strings.TrimSpace(long) + "\n\nIt has no answer in JSON: " + why + ". With --output json its errors are JSON."
	}
}

// pathOf is a verb with those above it, without the program: "kv get".
func pathOf(c *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(c.CommandPath(), c.Root().CommandPath()), " ")
}
