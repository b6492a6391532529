package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
)

// Image makes sure that the engine has an image: it loads the tar of load if that is not nil
// and it has none, and pulls it otherwise. With force it asks the registry in any case. The tar, which is read twice
// and may be compressed by gzip, has that image alone. It takes as long as ctx allows. ErrNoImage says that neither the file nor the registry has it, another *RefusedError why it was not got.
func (e *Engine) Image(ctx context.Context, name string, force bool, load func() (io.ReadCloser, error)) error {
	if _, err := reference.ParseAnyReference(name); err != nil {
		return refused("image", fmt.Sprintf("%.200q: %v", name, err), ErrNoImage)
	}
	if force {
		return e.pull(ctx, name)
	}
	err := e.has(ctx, name)
	if !errors.Is(err, ErrNoImage) {
		return err
	}
	if load == nil {
		return e.pull(ctx, name)
	}
	if err := e.load(ctx, name, load); err != nil {
		return err
	}
	err = e.has(ctx, name)
	if errors.Is(err, ErrNoImage) {
		return refused("load", "the file that was loaded does not have "+name, ErrNoImage)
	}
	return err
}

// hasTimeout is for the question whether there is an image, for which an engine looks at no container.
const hasTimeout = time.Minute

// has is nil if the engine has an image.
func (e *Engine) has(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, hasTimeout)
	defer cancel()
	return e.ask(ctx, "image", func(ctx context.Context, conn *connection) error {
		_, err := conn.api.ImageInspect(ctx, name)
		return err
	})
}

// pull has the engine get an image of the registry that its name says.
func (e *Engine) pull(ctx context.Context, name string) error {
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return refused("pull", fmt.Sprintf("%.200q: %v", name, err), ErrNoImage)
	}
	auth, err := credentials(e.cfg.Credentials, reference.Domain(named))
	if err != nil {
		return refused("pull", err.Error(), nil)
	}
	conn, err := e.connected("pull")
	if err != nil {
		return err
	}
	r, err := conn.api.ImagePull(ctx, name, client.ImagePullOptions{RegistryAuth: auth})
	if err == nil {
		defer func() { _ = r.Close() }()
		err = progress("pull", r)
	} else {
		err = wrong("pull", err)
	}
	if answer, ok := errors.AsType[*RefusedError](err); ok && hasNot(answer.Words) {
		return refused("pull", answer.Words, ErrNoImage)
	}
	if err != nil {
		return unlessEnded(ctx, "pull", err)
	}
	return e.has(ctx, name)
}

// hasNot reports whether words are of a registry that does not have an image, or not for us. They come with
// several statuses, and in the midst of an answer.
func hasNot(words string) bool {
	for _, w := range []string{"manifest unknown", "name unknown", "not found", "repository does not exist"} {
		if strings.Contains(words, w) {
			return true
		}
	}
	return false
}

// progress reads what an engine tells while it gets an image, to its end. Its answer was begun before it
// knew whether it can, so how that ended is in the text.
func progress(call string, r io.ReadCloser) error {
	for d := json.NewDecoder(&boundedLines{ReadCloser: r}); ; {
		var m struct {
			Error  string            `json:"error"`
			Detail *jsonstream.Error `json:"errorDetail"`
		}
		err := d.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%w: %s: %s", ErrNoEngine, call, cut(err.Error()))
		case m.Detail != nil:
			return refused(call, m.Detail.Message, nil)
		case m.Error != "":
			return refused(call, m.Error, nil)
		}
	}
}

// unlessEnded returns ctx's error in the place of one that it has caused. It is for what takes its time.
func unlessEnded(ctx context.Context, call string, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ErrNoEngine) {
		return fmt.Errorf("docker: %s: %w", call, ctx.Err())
	}
	return err
}
