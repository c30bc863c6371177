package conformance

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

func (k *kit) signRequest(key string, suite protocol.Suite, payload []byte) fields {
	return k.base().with(fields{"keyId": key, "keySpec": suite.KeySpec, "hashAlgorithm": suite.Hash, "payload": payload})
}

// sign judges generate-signature for each key that was described.
func (k *kit) sign(ctx context.Context) {
	if !k.can(protocol.CapabilitySignatureGenerator) {
		k.leave(NotApplicable, "the plugin does not claim SIGNATURE_GENERATOR.RAW", "sign.", "public-key.csr")
		return
	}
	k.unknownKey(ctx, protocol.CommandDescribeKey, k.request(protocol.CommandDescribeKey))
	for _, key := range k.opts.Keys {
		if described, ok := k.described[key]; ok {
			k.signWith(ctx, key, described)
		}
		k.leaveFor(key, NotRun, noDescription, "sign.", "public-key.")
	}
	k.leave(NotRun, ReasonNoKey, "sign.", "public-key.")
}

// signWith judges what the plugin signs with one key. What cannot be judged because a
// clause does not hold says which.
func (k *kit) signWith(ctx context.Context, key string, described description) {
	if !described.suite.RSA() {
		k.leaveFor(key, NotApplicable, "no RSA key", "sign.salt")
	}
	payload := []byte("conformance\x00\xff")
	r := k.ask(ctx, protocol.CommandGenerateSignature, k.signRequest(key, described.suite, payload))
	broken := k.judgeSigned(key, &described, payload, r)
	if r.answer != nil {
		k.mismatches(ctx, key, described.suite)
	}
	if broken == "" {
		k.payloads(ctx, key, described.suite)
		if described.public != nil {
			k.csr(ctx, key, described)
		}
	}
	k.leaveFor(key, NotRun, cmp.Or(broken, "public-key.describe")+" does not hold", "sign.", "public-key.")
}

// payloads judges signatures over several payloads, one after the other and at once.
func (k *kit) payloads(ctx context.Context, key string, suite protocol.Suite) {
	for _, size := range []int{1, 1 << 20} {
		payload := bytes.Repeat([]byte{0xa5}, size)
		r := k.ask(ctx, protocol.CommandGenerateSignature, k.signRequest(key, suite, payload))
		if r.fault != "" {
			k.spoil(key, r, "sign.payloads")
		} else {
			k.expectFor(key, "sign.payloads", k.signed(r, payload), fmt.Sprintf("a signature over a payload of %d bytes", size), r.String())
		}
	}
	if key == k.opts.Keys[0] { // the others would show nothing new
		k.parallel("call.parallel", func(i int) (bool, string) {
			payload := fmt.Appendf(nil, "payload %d", i)
			r := k.invoke(ctx, string(protocol.CommandGenerateSignature), k.signRequest(key, suite, payload).reader())
			return r.refused(protocol.CodeThrottled) || k.signed(r, payload), r.String()
		})
	}
}

// judgeSigned judges one signature in every respect. It returns the clause that keeps
// the rest from being judged; empty for none. A public key that turns out not to be
// the leaf's is dropped from the description.
func (k *kit) judgeSigned(key string, described *description, payload []byte, r *reply) (broken string) {
	if r.fault != "" {
		return r.breaks
	}
	if !k.expectFor(key, "sign.answers", r.answer != nil, "an answer", r.String()) {
		return "sign.answers"
	}
	answer := decode[protocol.GenerateSignatureResponse](k, protocol.CommandGenerateSignature, r)
	if answer == nil {
		return "answer.members"
	}
	suite := described.suite
	k.expectFor(key, "sign.key-id", answer.KeyID == key, fmt.Sprintf("keyId %q", key), fmt.Sprintf("keyId %q", answer.KeyID))
	k.expectFor(key, "sign.algorithm", answer.SigningAlgorithm == suite.Algorithm, fmt.Sprintf("signingAlgorithm %q for %s", suite.Algorithm, suite.KeySpec), fmt.Sprintf("signingAlgorithm %q", answer.SigningAlgorithm))
	leaf, broken := k.judgeChain(key, suite, answer.CertificateChain)
	if broken != "" {
		return broken
	}
	if described.public != nil && !k.expectFor(key, "public-key.describe", signer.SamePublicKey(described.public, leaf.PublicKey), "the public key of the leaf certificate", "another public key") {
		described.public = nil
	}
	return k.judgeSignature(key, suite, leaf, payload, answer.Signature)
}

// judgeChain judges certificates and returns the leaf, or the clause that keeps the
// signature from being judged by it.
func (k *kit) judgeChain(key string, suite protocol.Suite, ders [][]byte) (leaf *x509.Certificate, broken string) {
	chain, err := parse(ders)
	if err != nil || len(chain) == 0 {
		k.expectFor(key, "sign.chain", false, "certificates in DER, the leaf first", fmt.Sprintf("%d certificates, error: %v", len(ders), err))
		return nil, "sign.chain"
	}
	k.single = k.single || len(chain) == 1
	fault := chainFault(chain)
	if k.expectFor(key, "sign.chain", fault == "", "each certificate issued by the next, a self-signed root last", fault) {
		err = pki.CheckRules(chain, pki.CodeSigning)
		k.expectFor(key, "sign.certificates", err == nil, "certificates by the rules for signing", fmt.Sprint(err))
	} else {
		k.leaveFor(key, NotRun, "sign.chain does not hold", "sign.certificates")
	}
	err = pki.CheckValidity(chain, k.opts.Now())
	k.expectFor(key, "sign.validity", err == nil, "valid certificates", fmt.Sprint(err))

	leaf = chain[0]
	found, err := protocol.SuiteForKey(leaf.PublicKey)
	seen := fmt.Sprintf("%q with a key of %s", leaf.Subject, found.KeySpec)
	if err != nil {
		seen = err.Error()
	}
	if !k.expectFor(key, "sign.leaf", found.KeySpec == suite.KeySpec, "a leaf with a key of "+string(suite.KeySpec), seen) {
		return nil, "sign.leaf"
	}
	if fault != "" { // who knows whether the first is the leaf
		return nil, "sign.chain"
	}
	return leaf, ""
}

func parse(ders [][]byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, der := range ders {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// chainFault says why a chain is not complete and in order; empty if it is.
func chainFault(chain []*x509.Certificate) string {
	for i, cert := range chain[:len(chain)-1] {
		if next := chain[i+1]; !bytes.Equal(cert.RawIssuer, next.RawSubject) {
			return fmt.Sprintf("certificate %d was issued by %q, and the next is %q: %s", i+1, cert.Issuer, next.Subject, subjects(chain))
		}
	}
	if last := chain[len(chain)-1]; !bytes.Equal(last.RawIssuer, last.RawSubject) {
		return fmt.Sprintf("the last certificate is not self-signed, append that of its issuer %q: %s", last.Issuer, subjects(chain))
	}
	if err := pki.CheckIssuance(chain); err != nil {
		return err.Error()
	}
	return ""
}

func subjects(chain []*x509.Certificate) string {
	names := make([]string, len(chain))
	for i, cert := range chain {
		names[i] = fmt.Sprintf("%d %q", i+1, cert.Subject)
	}
	return strings.Join(names, ", ")
}

// judgeSignature judges a signature's form and whether the leaf verifies it. It returns
// the clause that does not hold; empty for none.
func (k *kit) judgeSignature(key string, suite protocol.Suite, leaf *x509.Certificate, payload, signature []byte) (broken string) {
	if !k.expectFor(key, "sign.form", len(signature) == suite.SignatureSize(), fmt.Sprintf("a signature of %d bytes", suite.SignatureSize()), fmt.Sprintf("%d bytes, beginning with %x", len(signature), signature[:min(len(signature), 4)])) {
		return "sign.form"
	}
	if suite.RSA() && pki.VerifyAnySalt(leaf, payload, signature) == nil {
		want := suite.CryptoHash.Size()
		got := want
		if pki.Verify(leaf, payload, signature) != nil {
			got = saltLength(leaf, suite, payload, signature)
		}
		if !k.expectFor(key, "sign.salt", got == want, fmt.Sprintf("a salt of %d bytes", want), fmt.Sprintf("a salt of %d bytes", got)) {
			return "sign.salt"
		}
	}
	err := pki.Verify(leaf, payload, signature)
	seen := fmt.Sprint(err)
	if err != nil && suite.RSA() && isPKCS1v15(leaf, suite, payload, signature) {
		seen = "a signature by RSASSA-PKCS1-v1_5"
	}
	if !k.expectFor(key, "sign.verifies", err == nil, "a signature over the payload by the leaf's key", seen) {
		return "sign.verifies"
	}
	return ""
}

// saltLength finds the length in bytes of the salt of an RSASSA-PSS signature that
// verifies with one of any length.
func saltLength(leaf *x509.Certificate, suite protocol.Suite, payload, signature []byte) int {
	digest := signer.Digest(suite, payload)
	for length := range suite.Bits / 8 {
		// Zero means "of any length" to Go: it is what is left when no other fits.
		if length > 0 && rsa.VerifyPSS(leaf.PublicKey.(*rsa.PublicKey), suite.CryptoHash, digest, signature, &rsa.PSSOptions{SaltLength: length}) == nil {
			return length
		}
	}
	return 0
}

func isPKCS1v15(leaf *x509.Certificate, suite protocol.Suite, payload, signature []byte) bool {
	public, ok := leaf.PublicKey.(*rsa.PublicKey)
	return ok && rsa.VerifyPKCS1v15(public, suite.CryptoHash, signer.Digest(suite, payload), signature) == nil
}

// signed tells whether a reply is a signature over a payload by its own leaf.
func (k *kit) signed(r *reply, payload []byte) bool {
	if r.answer == nil {
		return false
	}
	answer := decode[protocol.GenerateSignatureResponse](k, protocol.CommandGenerateSignature, r)
	if answer == nil {
		return false
	}
	chain, err := parse(answer.CertificateChain)
	return err == nil && len(chain) > 0 && pki.Verify(chain[0], payload, answer.Signature) == nil
}

// mismatches asks for algorithms that are not the key's.
func (k *kit) mismatches(ctx context.Context, key string, suite protocol.Suite) {
	other, _ := protocol.SuiteOf(protocol.KeySpecEC384)
	if suite.KeySpec == other.KeySpec {
		other, _ = protocol.SuiteOf(protocol.KeySpecEC256)
	}
	hashes := []protocol.HashAlgorithm{protocol.HashSHA256, protocol.HashSHA384, protocol.HashSHA512}
	hash := hashes[(slices.Index(hashes, suite.Hash)+1)%len(hashes)]
	good := k.signRequest(key, suite, []byte("payload"))
	for _, c := range []struct {
		id, what string
		request  fields
	}{
		{"sign.key-spec", fmt.Sprintf("keySpec %s for a key of %s", other.KeySpec, suite.KeySpec), good.with(fields{"keySpec": other.KeySpec, "hashAlgorithm": other.Hash})},
		{"sign.hash", fmt.Sprintf("hashAlgorithm %s for a key of %s", hash, suite.KeySpec), good.with(fields{"hashAlgorithm": hash})},
	} {
		if r := k.ask(ctx, protocol.CommandGenerateSignature, c.request); r.fault != "" {
			k.spoil(key, r, c.id)
		} else {
			k.expectFor(key, c.id, r.refused(protocol.CodeValidation), sent(protocol.CommandGenerateSignature, c.what)+": the error VALIDATION_ERROR", r.String())
		}
	}
}

// csr judges a signature for a certificate request, for which there need not be a
// certificate.
func (k *kit) csr(ctx context.Context, key string, described description) {
	payload := []byte("a certificate request")
	r := k.ask(ctx, protocol.CommandGenerateSignature, k.signRequest(key, described.suite, payload).with(fields{"purpose": protocol.PurposeCSR}))
	if r.fault != "" {
		k.spoil(key, r, "public-key.csr")
		return
	}
	const expected = `a signature that the public key verifies, with purpose "csr"`
	if !k.expectFor(key, "public-key.csr", r.answer != nil, expected, r.String()) {
		return
	}
	if answer := decode[protocol.GenerateSignatureResponse](k, protocol.CommandGenerateSignature, r); answer != nil {
		err := signer.Verify(described.public, described.suite, signer.Digest(described.suite, payload), answer.Signature)
		k.expectFor(key, "public-key.csr", err == nil, expected, fmt.Sprint(err))
	}
}
