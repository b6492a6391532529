package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	docker "github.com/moby/moby/client"
	"github.com/spf13/cobra"
)

var errLeft = errors.New("containers are there again and again")

// left are the ids of all containers of the demo, those of its tasks included, but one.
func (k *dock) left(ctx context.Context, but string) (map[string]bool, error) {
	ids := map[string]bool{}
	for _, label := range []string{demoLabel + "=" + k.id, "synod.cluster=" + k.id} {
		list, err := k.engine.ContainerList(ctx, docker.ContainerListOptions{All: true, Filters: docker.Filters{}.Add("label", label)})
		if err != nil {
			return nil, err
		}
		for _, c := range list.Items {
			if len(c.Names) != 1 || c.Names[0] != "/"+k.name(but) {
				ids[c.ID] = true
			}
		}
	}
	return ids, nil
}

// removed is how much of each kind was removed.
type removed struct {
	containers, networks, volumes int
	stuck                         []string // networks that the engine does not let go of
}

func (r removed) String() string {
	text := fmt.Sprintf("%s, %s, %s", many(r.containers, "container"), many(r.networks, "network"), many(r.volumes, "volume"))
	for _, name := range r.stuck {
		text += "; the engine counts a container at the network " + name + " where none is: once it was started anew,  docker network rm " + name
	}
	return text
}

// remove removes all containers, networks and volumes of the demo, except the container of a name: agents first,
// which would start others.
func (k *dock) remove(ctx context.Context, but string, agents ...string) (r removed, err error) {
	for _, name := range agents {
		_ = k.kill(ctx, k.name(name)) // it may not be there
	}
	for round := 0; ; round++ {
		n, err := k.removeContainers(ctx, but)
		if r.containers += n; err != nil {
			return r, err
		}
		if n == 0 {
			break
		}
		if round == 10 {
			return r, errLeft
		}
	}
	own := docker.Filters{}.Add("label", demoLabel+"="+k.id)
	networks, err := k.engine.NetworkList(ctx, docker.NetworkListOptions{Filters: own})
	for _, n := range networks.Items {
		stuck, failed := k.removeNetwork(ctx, n.ID)
		switch {
		case failed != nil:
			err = errors.Join(err, failed)
		case stuck:
			r.stuck = append(r.stuck, n.Name)
		default:
			r.networks++
		}
	}
	volumes, failed := k.engine.VolumeList(ctx, docker.VolumeListOptions{Filters: own})
	err = errors.Join(err, failed)
	for _, v := range volumes.Items {
		if _, failed := k.engine.VolumeRemove(ctx, v.Name, docker.VolumeRemoveOptions{}); failed != nil && !isGone(failed) {
			err = errors.Join(err, failed)
		}
		r.volumes++
	}
	return r, err
}

// letGo is how long the engine may take until it knows that the last container has left a network.
const letGo = 2 * time.Second

// removeNetwork removes a network. An engine of 20.10 may count a container that is gone for ever, or until it is
// started anew: then it refuses, the network has no container, and is stuck.
func (k *dock) removeNetwork(ctx context.Context, id string) (stuck bool, err error) {
	for began := time.Now(); ; {
		_, err := k.engine.NetworkRemove(ctx, id, docker.NetworkRemoveOptions{})
		if err == nil || isGone(err) {
			return false, nil
		}
		if !errdefs.IsPermissionDenied(err) {
			return false, err
		}
		if time.Since(began) > letGo {
			n, failed := k.engine.NetworkInspect(ctx, id, docker.NetworkInspectOptions{})
			if isGone(failed) { // somebody else has removed it
				return false, nil
			}
			if failed != nil || len(n.Network.Containers) > 0 {
				return false, errors.Join(err, failed)
			}
			return true, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return false, errors.Join(err, ctx.Err())
		}
	}
}

// removeContainers removes the containers that are there now, and returns how many that were.
func (k *dock) removeContainers(ctx context.Context, but string) (int, error) {
	ids, err := k.left(ctx, but)
	if err != nil {
		return 0, err
	}
	list := sortedKeys(ids)
	err = parallel(8, len(list), func(i int) error {
		_, err := k.engine.ContainerRemove(ctx, list[i], docker.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if isGone(err) || errdefs.IsConflict(err) { // somebody else removes it: look again
			return nil
		}
		return err
	})
	return len(list), err
}

// removeImage removes the demo's image when no container has it any more.
func (k *dock) removeImage(ctx context.Context) error {
	_, err := k.engine.ImageRemove(ctx, k.image(), docker.ImageRemoveOptions{PruneChildren: true})
	if isGone(err) {
		return nil
	}
	return err
}

// oldImage is after what time an image is one that a demo has left.
const oldImage = 10 * time.Minute

// removeOldImages removes what demos have left that were killed: of those nothing but the image is left.
func (k *dock) removeOldImages(ctx context.Context) {
	list, err := k.engine.ImageList(ctx, docker.ImageListOptions{Filters: docker.Filters{}.Add("label", demoLabel)})
	if err != nil {
		return // it is not what the demo is for
	}
	for _, image := range list.Items {
		if time.Since(time.Unix(image.Created, 0)) > oldImage {
			_, _ = k.engine.ImageRemove(ctx, image.ID, docker.ImageRemoveOptions{PruneChildren: true}) // one that is in use stays
		}
	}
}

func isGone(err error) bool { return errdefs.IsNotFound(err) }

// sweeperName is the container that removes all of a demo that was killed.
const sweeperName = "sweeper"

// sweepTime is how long it may take to remove a demo.
const sweepTime = 30 * time.Second

// demoSweepCommand is what runs beside the containers of a demo. Its input ends with the demo, however that
// ends, and then it removes what is left.
func (a *app) demoSweepCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sweep ID", Short: "remove what a demo has left", Args: cobra.ExactArgs(1), Hidden: true,
		Example: a.example("demo sweep synod-demo-1a2b"),
		RunE: func(c *cobra.Command, args []string) error {
			_, _ = io.Copy(io.Discard, os.Stdin) // whatever ends it
			ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), sweepTime)
			defer cancel()
			k, err := openDock(ctx, args[0])
			if err != nil {
				return err
			}
			defer k.engine.Close()
			_, err = k.remove(ctx, sweeperName, demoAgents...)
			return err
		},
	}
}

// startSweeper starts the container that outlives the demo, and returns what ends it and waits for that.
func (k *dock) startSweeper(ctx context.Context) (end func(context.Context) error, err error) {
	b := box{name: sweeperName, args: []string{"demo", "sweep", k.id}, root: true, socket: true, input: true}
	if err := k.make(ctx, b); err != nil {
		return nil, err
	}
	input, err := k.engine.ContainerAttach(context.WithoutCancel(ctx), k.name(sweeperName), docker.ContainerAttachOptions{Stream: true, Stdin: true})
	if err != nil {
		return nil, err
	}
	gone := k.engine.ContainerWait(context.WithoutCancel(ctx), k.name(sweeperName), docker.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	if err := k.start(ctx, sweeperName); err != nil {
		input.Close()
		return nil, err
	}
	return func(ctx context.Context) error {
		input.Close()
		select {
		case err := <-gone.Error:
			return err
		case <-gone.Result:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}
