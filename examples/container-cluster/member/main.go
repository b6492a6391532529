// Member is the one program of the example's image beside node: what runs in each of the five
// containers, and the few commands that an image from scratch does not have.
//
//	member             look after this member: its place in the election, its keys, its files, its ssh server
//	member notebook    serve the notebook; node elect starts it, on the leader alone
//	member ssh HOST CMD [ARG...]
//	member cat FILE... | tee FILE | ls DIR | hostname
//
// It is also each of these commands when it is called by a link of that name.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "member" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	code, err := call(name, args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(code)
}

// call runs a command and returns its exit code.
func call(name string, args []string) (code int, err error) {
	switch name {
	case "ssh":
		return ssh(args)
	case "member":
		err = look()
	case "notebook":
		err = notebook()
	case "hostname":
		err = hostname()
	case "cat":
		err = cat(args)
	case "tee":
		err = tee(args)
	case "ls":
		err = ls(args)
	default:
		err = fmt.Errorf("there is no such command")
	}
	if err != nil {
		code = 1
	}
	return code, err
}

func hostname() error {
	name, err := os.Hostname()
	if err == nil {
		fmt.Println(name)
	}
	return err
}

func cat(files []string) error {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func tee(files []string) error {
	out := []io.Writer{os.Stdout}
	for _, name := range files {
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		defer f.Close()
		out = append(out, f)
	}
	_, err := io.Copy(io.MultiWriter(out...), os.Stdin)
	return err
}

func ls(dirs []string) error {
	for _, dir := range append(dirs, ".")[:max(len(dirs), 1)] {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Println(e.Name())
		}
	}
	return nil
}
