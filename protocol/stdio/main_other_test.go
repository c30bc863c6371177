//go:build !linux

package stdio_test

import (
	"testing"

	"github.com/signet-project/signet/internal/testplugin"
)

func TestMain(m *testing.M) { testplugin.Main(m, nil) }
