package cli

import (
	"net/http/httptest"
	"os"

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
