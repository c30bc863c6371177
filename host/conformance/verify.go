package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/protocol"
)

// attribute is a critical attribute that nobody knows.
const attribute = "com.example.conformance"

// checks lists the checks that the plugin claims.
func (k *kit) checks() []protocol.Capability {
	var checks []protocol.Capability
	for _, c := range []protocol.Capability{protocol.CapabilityTrustedIdentityVerifier, protocol.CapabilityRevocationCheckVerifier} {
		if k.can(c) {
			checks = append(checks, c)
		}
	}
	return checks
}

// verifyRequest is about a signature that the host has found sound, by a signer
// nobody trusts.
func (k *kit) verifyRequest(checks []protocol.Capability) fields {
	return k.base().with(fields{
		"signature": map[string]any{
			"criticalAttributes": map[string]any{
				"contentType": envelope.MediaTypePayload, "signingScheme": envelope.SchemeX509,
				"verificationPlugin": k.name, "expiry": k.opts.Now().UTC().Add(time.Hour).Format(time.RFC3339),
			},
			"unprocessedAttributes": []string{},
			"certificateChain":      k.chain,
		},
		"trustPolicy": map[string]any{
			"trustedIdentities":     []string{"x509.subject: C=XX, ST=None, O=Somebody else"},
			"signatureVerification": checks,
		},
	})
}

// verify judges verify-signature for each set of checks that a host can ask for.
func (k *kit) verify(ctx context.Context) {
	checks := k.checks()
	if len(checks) == 0 {
		k.leave(NotApplicable, "the plugin claims no capability to verify", "verify.")
		return
	}
	sets := [][]protocol.Capability{checks}
	if len(checks) > 1 {
		sets = append(sets, checks[:1], checks[1:])
	}
	for _, set := range sets {
		plain := k.verifyRequest(set)
		k.judgeVerdict(ctx, plain, set, nil)
		signature := maps.Clone(plain["signature"].(map[string]any))
		attributes := maps.Clone(signature["criticalAttributes"].(map[string]any))
		attributes["extendedAttributes"] = map[string]any{attribute: "x"}
		signature["criticalAttributes"], signature["unprocessedAttributes"] = attributes, []string{attribute}
		k.judgeVerdict(ctx, plain.with(fields{"signature": signature}), set, []string{attribute})
	}
	k.leave(NotRun, "no result was negative", "verify.reason")
	k.leave(NotRun, "verify-signature gave no answer", "verify.")
}

// judgeVerdict judges the answer to one request.
func (k *kit) judgeVerdict(ctx context.Context, request fields, checks []protocol.Capability, attributes []string) {
	r := k.ask(ctx, protocol.CommandVerifySignature, request)
	switch {
	case r.fault != "":
		return
	case r.refused(protocol.CodeValidation, protocol.CodeAccessDenied):
		k.leave(NotRun, "the plugin seems to lack configuration: "+r.String(), "verify.")
		return
	}
	if !k.expect("verify.answers", r.answer != nil, "an answer", r.String()) {
		return
	}
	answer := decode[protocol.VerifySignatureResponse](k, protocol.CommandVerifySignature, r)
	if answer == nil {
		return
	}
	got := slices.Sorted(maps.Keys(answer.VerificationResults))
	complete := slices.Equal(got, slices.Sorted(slices.Values(checks))) && !slices.Contains(slices.Collect(maps.Values(answer.VerificationResults)), nil)
	k.expect("verify.results", complete, fmt.Sprintf("results for %q", checks), fmt.Sprintf("results for %q", got))
	for check, result := range answer.VerificationResults {
		if result != nil && !result.Success {
			k.expect("verify.reason", result.Reason != "", fmt.Sprintf("a reason why %s failed", check), "none")
		}
	}
	known := !slices.ContainsFunc(answer.ProcessedAttributes, func(name string) bool { return !slices.Contains(attributes, name) })
	k.expect("verify.processed", known, fmt.Sprintf("none but %q", attributes), fmt.Sprintf("processedAttributes %q", answer.ProcessedAttributes))
}

// newChain makes the certificates of a signer and of a root, in DER; their keys are
// forgotten at once.
func newChain(now time.Time) ([][]byte, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root, leaf := template("root", now), template("signer", now)
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	return [][]byte{leafDER, rootDER}, err
}

func template(name string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "conformance " + name, Organization: []string{"signet"}, Province: []string{"None"}, Country: []string{"XX"}},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
}
