//go:build !linux

package sessionclient_test

import (
	"errors"

	"github.com/signet-project/signet/protocol"
)

const diesWithParent = false

func askPIN(protocol.Command, []byte) ([]byte, error) { return nil, errors.ErrUnsupported }

func onTerminal(string) bool { return false }
