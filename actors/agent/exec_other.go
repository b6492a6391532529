//go:build !linux

package agent

import (
	"context"

	"github.com/synod-go/synod/internal/shim"
)

func execBeside(context.Context, shim.State, shim.Spec, string, Exec) (int, error) {
	return 0, ErrUnsupported
}
