// Command task is the program of an image for tests. Its arguments are commands with "," between them, which
// it runs one after the other; as sh -c it takes them as words of one argument.
//
//	print WORD...      writes the words and a line feed to stdout
//	complain WORD...   the same to stderr
//	lines N SIZE       writes N lines of SIZE bytes
//	exit N             ends with that code
//	sleep DURATION     ends with 143 if TERM comes
//	stay DURATION      does not mind TERM
//	serve PORT         answers every HTTP request with the host's name, for ever
//	eat MIB            takes memory and keeps it
//	cat [FILE]         copies a file, or stdin, to stdout
//	write FILE WORD... writes the words and a line feed to a file
//	env                writes the environment
//	id                 writes the numbers of the user and its group, and the working directory
//	ls DIR             writes permissions, owner and name of what is in there
//	fork COMMAND...    runs this program with the command beside itself
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	words := os.Args[1:]
	if filepath.Base(os.Args[0]) == "sh" && len(words) == 2 && words[0] == "-c" {
		words = strings.Fields(words[1])
	}
	for len(words) > 0 {
		end := slices.Index(words, ",")
		if end < 0 {
			end = len(words)
		}
		if err := run(words[0], words[1:end]); err != nil {
			fmt.Fprintln(os.Stderr, "task:", err)
			os.Exit(99)
		}
		words = words[min(end+1, len(words)):]
	}
}

var eaten [][]byte

func run(command string, args []string) error {
	first := strings.Join(args[:min(1, len(args))], "")
	number, _ := strconv.Atoi(first)
	switch command {
	case "print":
		fmt.Println(strings.Join(args, " "))
	case "complain":
		fmt.Fprintln(os.Stderr, strings.Join(args, " "))
	case "lines":
		size, _ := strconv.Atoi(args[1])
		for i := range number {
			fmt.Printf("%0*d\n", size, i)
		}
	case "exit":
		os.Exit(number)
	case "sleep", "stay":
		return sleep(first, command == "stay")
	case "serve":
		return http.ListenAndServe(":"+first, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			host, _ := os.Hostname()
			fmt.Fprintln(w, host)
		}))
	case "eat":
		for range number {
			eaten = append(eaten, []byte(strings.Repeat("x", 1<<20)))
		}
	case "write":
		return os.WriteFile(first, []byte(strings.Join(args[1:], " ")+"\n"), 0o644)
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "id":
		where, _ := os.Getwd()
		fmt.Println(os.Getuid(), os.Getgid(), where)
	case "cat":
		return cat(first)
	case "ls":
		return list(first)
	case "fork":
		c := exec.Command("/task", args...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		return c.Start()
	default:
		return fmt.Errorf("what is %q?", command)
	}
	return nil
}

func sleep(duration string, stay bool) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	after := time.After(d)
	for {
		select {
		case <-terms:
			if !stay {
				os.Exit(143)
			}
		case <-after:
			return nil
		}
	}
}

func cat(name string) error {
	from := os.Stdin
	if name != "" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		from = f
	}
	_, err := io.Copy(os.Stdout, from)
	return err
}

func list(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		fmt.Println(info.Mode(), stat.Uid, stat.Gid, e.Name())
	}
	return nil
}
