package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

// scriptTSA starts a timestamp authority.
func scriptTSA(ts *testscript.TestScript, args []string) error {
	tb := scriptTB{ts: ts}
	root := testpki.Root(tb, args[0]+" root")
	server := httptest.NewServer(testtsa.NewHandler(testtsa.Options{Signer: root.TSA(tb, args[0], protocol.KeySpecEC256)}, testtsa.Behaviour{}))
	ts.Defer(server.Close)
	ts.Setenv("TSA", server.URL)
	return os.WriteFile(ts.MkAbs(args[0]+"-root.crt"), root.CertPEM(), 0o600)
}

// scriptJSONLog wants the lines of a file to be JSON objects, but for warnings.
func scriptJSONLog(ts *testscript.TestScript, args []string) error {
	objects := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if strings.HasPrefix(line, "Warning: ") {
			continue
		}
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			return fmt.Errorf("%w: %s", err, line)
		}
		objects++
	}
	if objects == 0 {
		return errors.New("there is no log")
	}
	return nil
}
