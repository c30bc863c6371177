package stdio_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
)

func TestMain(m *testing.M) {
	path := os.Getenv(hostVariable)
	if path != "" && !strings.HasPrefix(filepath.Base(os.Args[0]), protocol.BinaryPrefix) {
		host(path)
	}
	testplugin.Main(m, map[string]testplugin.Func{"pin": askPIN})
}
