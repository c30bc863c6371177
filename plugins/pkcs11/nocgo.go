//go:build !cgo

package pkcs11

import (
	"context"
	"runtime"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// modules can't be loaded without cgo.
type modules struct{}

func (*modules) open(context.Context, *location) (signer.Key, error) {
	return nil, protocol.Errorf(protocol.CodeGeneric,
		"this notation-pkcs11 for %s/%s cannot load PKCS #11 modules, because it was built without cgo: install one built with CGO_ENABLED=1", runtime.GOOS, runtime.GOARCH)
}

func (*modules) close() error { return nil }
