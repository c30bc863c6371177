package conformance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"

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
	rsaKeys := false
	for _, key := range k.opts.Keys {
		described, ok := k.described[key]
		if !ok {
			continue
		}
		rsaKeys = rsaKeys || described.suite.RSA()
		k.signWith(ctx, key, described)
	}
	if len(k.described) > 0 && !rsaKeys {
		k.leave(NotRun, "no key given is an RSA key", "sign.salt")
	}
	k.leave(NotRun, k.noKeyOr("no signature came back to judge"), "sign.", "public-key.")
}

// signWith judges what the plugin signs with one key.
func (k *kit) signWith(ctx context.Context, key string, described description) {
	payload := []byte("conformance\x00\xff")
	if !k.signPayload(ctx, key, &described, payload) {
		return
	}
	for _, size := range []int{1, 1 << 20} {
		payload := bytes.Repeat([]byte{0xa5}, size)
		r := k.ask(ctx, protocol.CommandGenerateSignature, k.signRequest(key, described.suite, payload))
		if r.fault == "" {
			k.expect("sign.payloads", k.signed(r, payload), fmt.Sprintf("key %q: a signature over a payload of %d bytes", key, size), r.String())
		}
	}
	if key == k.opts.Keys[0] { // the others would show nothing new
		k.parallel("call.parallel", func(i int) (bool, string) {
			payload := fmt.Appendf(nil, "payload %d", i)
			r := k.invoke(ctx, string(protocol.CommandGenerateSignature), k.signRequest(key, described.suite, payload).reader())
			return r.refused(protocol.CodeThrottled) || k.signed(r, payload), r.String()
		})
	}
	k.mismatches(ctx, key, described.suite)
	if described.public != nil {
		k.csr(ctx, key, described)
	}
}

// signPayload judges one signature in every respect, and tells whether it is good.
// A public key that turns out not to be the leaf's is dropped from the description.
func (k *kit) signPayload(ctx context.Context, key string, described *description, payload []byte) bool {
	r := k.ask(ctx, protocol.CommandGenerateSignature, k.signRequest(key, described.suite, payload))
	if r.fault != "" || !k.expect("sign.answers", r.answer != nil, fmt.Sprintf("key %q: an answer", key), r.String()) {
		return false
	}
	answer := decode[protocol.GenerateSignatureResponse](k, protocol.CommandGenerateSignature, r)
	if answer == nil {
		return false
	}
	suite := described.suite
	k.expect("sign.key-id", answer.KeyID == key, fmt.Sprintf("keyId %q", key), fmt.Sprintf("keyId %q", answer.KeyID))
	k.expect("sign.algorithm", answer.SigningAlgorithm == suite.Algorithm, fmt.Sprintf("key %q of %s: signingAlgorithm %q", key, suite.KeySpec, suite.Algorithm), fmt.Sprintf("signingAlgorithm %q", answer.SigningAlgorithm))
	chain := k.judgeChain(key, suite, answer.CertificateChain)
	if chain == nil {
		return false
	}
	if public := described.public; public != nil {
		same := public.(interface{ Equal(crypto.PublicKey) bool }).Equal(chain[0].PublicKey)
		if !k.expect("public-key.describe", same, fmt.Sprintf("key %q: the public key of the leaf certificate", key), "another public key") {
			described.public = nil
		}
	}
	return k.judgeSignature(key, suite, chain[0], payload, answer.Signature)
}

// judgeChain judges certificates, and returns them parsed; nil when the leaf's key
// is not the one described.
func (k *kit) judgeChain(key string, suite protocol.Suite, ders [][]byte) []*x509.Certificate {
	chain, err := parse(ders)
	where := fmt.Sprintf("key %q: ", key)
	if !k.expect("sign.chain", err == nil && len(chain) > 0, where+"certificates in DER, the leaf first", fmt.Sprintf("%d certificates, error: %v", len(ders), err)) {
		return nil
	}
	leaf, err := protocol.SuiteForKey(chain[0].PublicKey)
	seen := fmt.Sprintf("%q with a key of %s", chain[0].Subject, leaf.KeySpec)
	if err != nil {
		seen = err.Error()
	}
	if !k.expect("sign.leaf", leaf.KeySpec == suite.KeySpec, where+"a leaf with a key of "+string(suite.KeySpec), seen) {
		return nil
	}
	if k.expect("sign.chain", complete(chain), where+"each certificate issued by the next, a self-signed root last", subjects(chain)) {
		err = pki.CheckRules(chain, pki.CodeSigning)
		k.expect("sign.certificates", err == nil, where+"certificates by the rules for signing", fmt.Sprint(err))
	}
	err = pki.CheckValidity(chain, k.opts.Now())
	k.expect("sign.validity", err == nil, where+"valid certificates", fmt.Sprint(err))
	return chain
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

// complete tells whether each certificate is issued by the next and the last by
// itself.
func complete(chain []*x509.Certificate) bool {
	for i, cert := range chain {
		if i < len(chain)-1 && !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
			return false
		}
	}
	return pki.CheckIssuance(chain) == nil
}

func subjects(chain []*x509.Certificate) string {
	text := ""
	for i, cert := range chain {
		text += fmt.Sprintf("%d: %q issued by %q; ", i+1, cert.Subject, cert.Issuer)
	}
	return text
}

// judgeSignature judges a signature's form and whether the leaf verifies it.
func (k *kit) judgeSignature(key string, suite protocol.Suite, leaf *x509.Certificate, payload, signature []byte) bool {
	where := fmt.Sprintf("key %q: ", key)
	if !k.expect("sign.form", len(signature) == suite.SignatureSize(), fmt.Sprintf("%sa signature of %d bytes", where, suite.SignatureSize()), fmt.Sprintf("%d bytes, beginning with %x", len(signature), signature[:min(len(signature), 4)])) {
		return false
	}
	if suite.RSA() && pki.VerifyAnySalt(leaf, payload, signature) == nil {
		if !k.expect("sign.salt", pki.Verify(leaf, payload, signature) == nil, fmt.Sprintf("%sa salt of %d bytes", where, suite.CryptoHash.Size()), "a salt of another length") {
			return false
		}
	}
	err := pki.Verify(leaf, payload, signature)
	seen := fmt.Sprint(err)
	if err != nil && suite.RSA() && isPKCS1v15(leaf, suite, payload, signature) {
		seen = "a signature by RSASSA-PKCS1-v1_5"
	}
	return k.expect("sign.verifies", err == nil, where+"a signature over the payload by the leaf's key", seen)
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
		if r := k.ask(ctx, protocol.CommandGenerateSignature, c.request); r.fault == "" {
			k.expect(c.id, r.refused(protocol.CodeValidation), sent(protocol.CommandGenerateSignature, c.what)+": the error VALIDATION_ERROR", r.String())
		}
	}
}

// csr judges a signature for a certificate request, for which there need not be a
// certificate.
func (k *kit) csr(ctx context.Context, key string, described description) {
	payload := []byte("a certificate request")
	r := k.ask(ctx, protocol.CommandGenerateSignature, k.signRequest(key, described.suite, payload).with(fields{"purpose": protocol.PurposeCSR}))
	if r.fault != "" {
		return
	}
	expected := fmt.Sprintf(`key %q: purpose "csr": a signature that the public key verifies`, key)
	if !k.expect("public-key.csr", r.answer != nil, expected, r.String()) {
		return
	}
	if answer := decode[protocol.GenerateSignatureResponse](k, protocol.CommandGenerateSignature, r); answer != nil {
		err := signer.Verify(described.public, described.suite, signer.Digest(described.suite, payload), answer.Signature)
		k.expect("public-key.csr", err == nil, expected, fmt.Sprint(err))
	}
}
