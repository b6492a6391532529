package mesoswire_test

import (
	"fmt"

	"github.com/synod-go/synod/internal/mesoswire"
	"github.com/synod-go/synod/mesos"
)

func Example() {
	data, err := mesoswire.AppendCall(nil, mesos.Call{Framework: "web", Body: mesos.KillCall{Task: "web-1"}})
	if err != nil {
		panic(err)
	}
	call, err := mesoswire.ParseCall(data)
	fmt.Printf("%d bytes: %+v %v\n", len(data), call.Body, err)

	_, err = mesoswire.ParseCall(data[:9]) // all but the field kill
	fmt.Println(err)
	// Output:
	// 20 bytes: {Task:web-1 Agent: Grace:0s} <nil>
	// mesoswire: malformed: kill is missing
}
