package jobfile_test

import (
	"fmt"

	"github.com/synod-go/synod/jobs/jobfile"
)

func ExampleParse() {
	specs, err := jobfile.Parse([]byte("name: web\ncount: 3\nshell: serve --port $PORT\nports: [http]\n"))
	fmt.Println(specs[0].Name, specs[0].Kind, specs[0].Count, err)

	_, err = jobfile.Parse([]byte("name: web\nshell: serve\nmemroy: 64MiB\n"))
	fmt.Println(err)

	// Output:
	// web service 3 <nil>
	// jobfile: line 3, column 1: the job has the unknown key "memroy" (did you mean memory?)
}
