package recipes

import (
	"context"

	"github.com/synod-go/synod/api"
)

// RaiseBarrier makes whoever comes to AwaitBarrier at path wait, until LiftBarrier. It belongs to no
// session, so it stays when its maker is gone. It is no error that it was raised: any key at path is a
// barrier. Errors are those of Client.Create; after CodeUnknown it can be done again.
func RaiseBarrier(ctx context.Context, c *api.Client, path string) error {
	_, err := c.Create(ctx, path, nil, api.CreateOptions{})
	if api.CodeOf(err) == api.CodeExists {
		return nil
	}
	return err
}

// LiftBarrier lets everybody pass. It is no error that there is no barrier. Errors are those of
// Client.Delete; after CodeUnknown it can be done again.
func LiftBarrier(ctx context.Context, c *api.Client, path string) error {
	_, err := c.Delete(ctx, path, api.WriteOptions{})
	if api.CodeOf(err) == api.CodeNotFound {
		return nil
	}
	return err
}

// AwaitBarrier returns when there is no barrier at path, or there was none since it was called: one
// that is raised again at once does not hold back who was waiting. It needs no session and waits
// through elections and lost connections; the first reading fails as Client.Get does.
func AwaitBarrier(ctx context.Context, c *api.Client, path string) error {
	return awaitBarrier(ctx, c, path)
}

func awaitBarrier(ctx context.Context, r reader, path string) error {
	path, err := trimmed(path)
	if err != nil {
		return err
	}
	_, index, err := r.Get(ctx, path, api.ReadOptions{})
	if err == nil {
		_, err = gone(ctx, r, path, index)
	}
	if api.CodeOf(err) == api.CodeNotFound {
		return nil
	}
	return err
}
