// Package docs holds the pages of the manual that the program itself shows, so that there is one text of each.
package docs

import _ "embed"

// Errors is errors.md: its tables of exit codes and of error codes are what "node explain" shows.
//
//go:embed errors.md
var Errors string
