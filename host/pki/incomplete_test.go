package pki

import (
	"crypto/x509"
	"testing"

	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

func TestIncompleteChain(t *testing.T) {
	t.Parallel()
	root := testpki.Root(t, "root")
	ca := root.Intermediate(t, "ca")
	tsa := ca.TSA(t, "tsa", protocol.KeySpecEC256)
	signer := ca.Leaf(t, "signer", protocol.KeySpecEC256)
	noCA := root.Intermediate(t, "ca", func(c *x509.Certificate) { c.IsCA = false })
	other := testpki.Root(t, "other").Intermediate(t, "ca")
	selfIssued := root.Intermediate(t, "root")

	for name, tc := range map[string]struct {
		chain []*x509.Certificate
		valid bool
	}{
		"complete":                   {tsa.Chain(), true},
		"without root":               {[]*x509.Certificate{tsa.Cert, ca.Cert}, true},
		"leaf alone":                 {[]*x509.Certificate{tsa.Cert}, true},
		"empty":                      {nil, false},
		"wrong purpose":              {[]*x509.Certificate{signer.Cert}, false},
		"wrong order":                {[]*x509.Certificate{tsa.Cert, root.Cert}, false},
		"issuer of the same name":    {[]*x509.Certificate{tsa.Cert, other.Cert}, false},
		"issuer without authority":   {[]*x509.Certificate{tsa.Cert, noCA.Cert}, false},
		"ends in a renewed root key": {[]*x509.Certificate{selfIssued.TSA(t, "tsa", protocol.KeySpecEC256).Cert, selfIssued.Cert}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckIncompleteChain(tc.chain, Timestamping); (err == nil) != tc.valid {
				t.Errorf("valid = %v, want %v: %v", err == nil, tc.valid, err)
			}
		})
	}
}
