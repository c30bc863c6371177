package plugin

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
)

// answerVariable makes the test binary, under a plugin's name, a plugin that
// gives this answer. It needs no file beside it, so that it may be moved and
// removed while it runs.
const answerVariable = "SIGNET_TEST_ANSWER"

func TestMain(m *testing.M) {
	if os.Getenv(crashVariable) != "" {
		crash()
	}
	if strings.HasPrefix(filepath.Base(os.Args[0]), protocol.BinaryPrefix) && os.Getenv(answerVariable) != "" {
		fmt.Println(os.Getenv(answerVariable))
		os.Exit(0)
	}
	testplugin.Main(m, TestFuncs)
}

// metadataJSON is what a plugin says of itself.
func metadataJSON(name, version string) string {
	return fmt.Sprintf(`{"name":"%s","description":"a test","version":"%s","url":"https://example.com","supportedContractVersions":["1.0"],"capabilities":["SIGNATURE_GENERATOR.RAW"]}`, name, version)
}

// throttleOnce answers THROTTLED until the file exists that the configuration
// member "marker" names, which it makes.
func throttleOnce(_ protocol.Command, request []byte) ([]byte, error) {
	var q protocol.GetMetadataRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(q.PluginConfig["marker"], os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		file.Close()
		return nil, protocol.Errorf(protocol.CodeThrottled, "slow down")
	}
	return []byte(metadataJSON("x", "1.0.0")), nil
}
