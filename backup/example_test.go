package backup_test

import (
	"bytes"
	"fmt"
	"io"

	"github.com/synod-go/synod/backup"
)

// A backup is written group by group, and believed only when all of it was read.
func Example() {
	state := []byte("what the tree holds")
	var file bytes.Buffer
	w, err := backup.NewWriter(&file, backup.Header{Cluster: "c1", Groups: []backup.Group{{Name: "coordination", Engine: "raft", Index: 41, Size: int64(len(state))}}})
	if err == nil {
		err = w.Group(bytes.NewReader(state))
	}
	if err == nil {
		err = w.Close()
	}
	fmt.Println(err)

	h, err := backup.Verify(bytes.NewReader(file.Bytes()))
	fmt.Println(h.Groups[0].Name, h.Groups[0].Index, err)

	damaged := file.Bytes()
	damaged[len(damaged)-40] ^= 1
	_, err = backup.Verify(io.LimitReader(bytes.NewReader(damaged), 1<<20))
	fmt.Println(err != nil)
	// Output:
	// <nil>
	// coordination 41 <nil>
	// true
}
