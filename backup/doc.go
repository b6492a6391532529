// Package backup is the file that holds the state of a whole cluster: a snapshot of each
// replicated group, and what it takes to know them again.
//
// # What it is
//
// Numbers are big endian.
//
//	size  field
//	8     "SYNODBAK"
//	4     version of the format, 1
//	4     length of the header
//	..    the header, JSON: [Header]
//	..    the groups in the header's order, each of its Size: a snapshot of package replica
//	32    SHA-256 of all before
//
// A [Writer] makes one of streams, a [Reader] reads one as a stream. Nothing that was
// read may be used before [Reader.Close] or [Verify] has said that all of it is as it was
// written.
//
// # What it leaves to others
//
// Where the snapshots come from and what is in them: package synod makes a file online
// (Node.Backup) and a data directory of one (Restore). Files: see the command line.
package backup
