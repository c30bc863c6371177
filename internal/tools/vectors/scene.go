package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/signet-project/signet/spec/vectors"
)

// The names that signatures are made of.
const (
	typeJWS       = "application/jose+json"
	typeCOSE      = "application/cose"
	typePayload   = "application/vnd.cncf.notary.payload.v1+json"
	typeImage     = "application/vnd.oci.image.manifest.v1+json"
	typeEmpty     = "application/vnd.oci.empty.v1+json"
	typeSignature = "application/vnd.cncf.notary.signature"

	attrScheme        = "io.cncf.notary.signingScheme"
	attrSigningTime   = "io.cncf.notary.signingTime"
	attrAuthenticTime = "io.cncf.notary.authenticSigningTime"
	attrExpiry        = "io.cncf.notary.expiry"
	attrPlugin        = "io.cncf.notary.verificationPlugin"
	attrMinVersion    = "io.cncf.notary.verificationPluginMinVersion"
	attrTimestamp     = "io.cncf.notary.timestampSignature"
	attrAgent         = "io.cncf.notary.signingAgent"

	schemeX509      = "notary.x509"
	schemeAuthority = "notary.x509.signingAuthority"
)

// The envelope formats.
const (
	jws  = "jws"
	cose = "cose"
)

var both = []string{jws, cose}

// The outcomes, as the tables name them.
const (
	valid        = vectors.Valid
	notSignature = vectors.Manifest
	malformed    = vectors.Malformed
	integrity    = vectors.Integrity
	authenticity = vectors.Authenticity
	critical     = vectors.Attribute
	expired      = vectors.Expiry
	notAuthentic = vectors.AuthenticTimestamp
)

// scenario is a row of the tables that the vectors are made from.
type scenario struct {
	clause  string
	name    string
	outcome vectors.Outcome
	formats []string
	edit    func(*scene)
}

// scene is a scenario in the making. It starts as a signature without fault; a
// scenario changes what it is about.
type scene struct {
	format string

	// signer's key signs and its chain goes along, unless chain is another.
	signer *entity
	chain  [][]byte
	// suite names the algorithm in the envelope.
	suite       suite
	contentType any
	// critical lists what is marked critical; nil leaves the header out.
	critical   []any
	attributes []attribute
	payload    []byte
	agent      any
	// sign makes the signature value over the bytes to be signed.
	sign func(message []byte) []byte
	// token makes the countersignature over the signature value; nil for none.
	token func(signature []byte) []byte

	jws  jwsEdits
	cose coseEdits
	// bytes changes the finished envelope.
	bytes func([]byte) []byte
	// mediaType is what the manifest says the envelope is.
	mediaType string
	// manifest changes the signature manifest; nil leaves it out of the vector.
	manifest func(*manifest)

	verification statement
	stores       map[string][]*x509.Certificate
	// clock tells that the outcome changes after noon.
	clock  bool
	logged []vectors.Outcome
}

// statement is the part of a trust policy that scenarios change.
type statement struct {
	Level           string            `json:"level"`
	Override        map[string]string `json:"override,omitempty"`
	VerifyTimestamp string            `json:"verifyTimestamp,omitempty"`
	identities      []string
}

// attribute is a signed attribute. Values are strings, numbers, bools, nil, times,
// slices of these, and encoded: a value as it is.
type attribute struct{ key, value any }

// encoded is a JSON or CBOR value, encoded already.
type encoded []byte

// MarshalJSON returns the value as it is.
func (e encoded) MarshalJSON() ([]byte, error) { return e, nil }

// suite is an algorithm by its JWS name and its COSE number, either of which may
// be of a wrong type; nil leaves the header out.
type suite struct {
	jws, cose any
	hash      crypto.Hash
}

// suites are those of the specification, by kind of key and bits.
var suites = map[string]suite{
	"RSA-2048": {"PS256", -37, crypto.SHA256},
	"RSA-3072": {"PS384", -38, crypto.SHA384},
	"RSA-4096": {"PS512", -39, crypto.SHA512},
	"EC-256":   {"ES256", -7, crypto.SHA256},
	"EC-384":   {"ES384", -35, crypto.SHA384},
	"EC-521":   {"ES512", -36, crypto.SHA512},
}

// suiteFor is the one that a key has to be used with; for keys that may not be
// used at all it is the one that people would try.
func suiteFor(public crypto.PublicKey) suite {
	switch public := public.(type) {
	case *rsa.PublicKey:
		if s, ok := suites[fmt.Sprintf("RSA-%d", public.N.BitLen())]; ok {
			return s
		}
		return suites["RSA-2048"]
	case *ecdsa.PublicKey:
		if s, ok := suites[fmt.Sprintf("EC-%d", public.Curve.Params().BitSize)]; ok {
			return s
		}
	}
	return suites["EC-256"]
}

// newScene is a signature by leaf over the artifact, verified at noon by a strict
// statement that trusts root.
func newScene(format string) *scene {
	s := &scene{
		format:       format,
		contentType:  typePayload,
		critical:     []any{attrScheme},
		attributes:   []attribute{{attrScheme, schemeX509}, {attrSigningTime, signed}},
		payload:      []byte(payloadOf(artifact)),
		agent:        "signet vectors",
		mediaType:    map[string]string{jws: typeJWS, cose: typeCOSE}[format],
		verification: statement{Level: "strict", identities: []string{"*"}},
		stores:       map[string][]*x509.Certificate{"ca:vectors": {root.Cert}},
	}
	s.by(leaf)
	return s
}

// by makes an entity the signer.
func (s *scene) by(signer *entity) {
	s.signer, s.chain, s.suite = signer, signer.RawChain(), suiteFor(signer.Cert.PublicKey)
	s.sign = func(message []byte) []byte { return signature(signer.Key, s.suite.hash, message) }
}

// trust has the stores of a type hold certificates, and no other store.
func (s *scene) trust(kind string, certificates ...*entity) {
	s.stores = map[string][]*x509.Certificate{}
	s.alsoTrust(kind, certificates...)
}

func (s *scene) alsoTrust(kind string, certificates ...*entity) {
	for _, e := range certificates {
		s.stores[kind+":vectors"] = append(s.stores[kind+":vectors"], e.Cert)
	}
}

// set gives an attribute a value, and adds it if it is not there.
func (s *scene) set(key, value any) {
	for i := range s.attributes {
		if s.attributes[i].key == key {
			s.attributes[i].value = value
			return
		}
	}
	s.attributes = append(s.attributes, attribute{key, value})
}

// setCritical is set for an attribute that is marked critical.
func (s *scene) setCritical(key, value any) {
	s.set(key, value)
	s.critical = append(s.critical, key)
}

func (s *scene) drop(key any) {
	s.attributes = slices.DeleteFunc(s.attributes, func(a attribute) bool { return a.key == key })
}

// byAuthority makes the signature one of the signing authority scheme, and trusts
// it.
func (s *scene) byAuthority(at time.Time) {
	s.set(attrScheme, schemeAuthority)
	s.drop(attrSigningTime)
	s.setCritical(attrAuthenticTime, at)
	s.trust("signingAuthority", root)
}

// expires sets a critical expiry.
func (s *scene) expires(at time.Time) { s.setCritical(attrExpiry, at) }

// level sets the verification level, and says what it only logs on the way.
func (s *scene) level(name string, logged ...vectors.Outcome) {
	s.verification.Level, s.logged = name, logged
}

// signature signs as the specification has it: RSASSA-PSS with a salt as long as
// the hash, or r‖s.
func signature(private crypto.Signer, hash crypto.Hash, message []byte) []byte {
	switch public := private.Public().(type) {
	case *rsa.PublicKey:
		return must(private.Sign(nil, sum(hash, message), &rsa.PSSOptions{Hash: hash}))
	case *ecdsa.PublicKey:
		r, s := ecdsaSignature(private, hash, message)
		size := (public.Curve.Params().BitSize + 7) / 8
		return slices.Concat(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size)))
	default: // Ed25519
		return must(private.Sign(nil, message, crypto.Hash(0)))
	}
}

func ecdsaSignature(private crypto.Signer, hash crypto.Hash, message []byte) (r, s *big.Int) {
	var value struct{ R, S *big.Int }
	must(asn1.Unmarshal(must(private.Sign(nil, sum(hash, message), hash)), &value))
	return value.R, value.S
}

// vector finishes a scenario in a format.
func (c scenario) vector(format string) vectors.Vector {
	s := newScene(format)
	c.edit(s)
	v := vectors.Vector{
		ID:          slug(c.clause + " " + c.name + " " + format),
		Clause:      c.clause,
		Scenario:    c.name,
		Outcome:     c.outcome,
		Logged:      s.logged,
		Time:        noon,
		Clock:       s.clock,
		Artifact:    artifact,
		TrustPolicy: s.policy(),
		TrustStores: map[string][][]byte{},
		Envelope:    vectors.Content{MediaType: s.mediaType, Data: s.envelope()},
	}
	for store, certificates := range s.stores {
		v.TrustStores[store] = rawCertificates(certificates...)
	}
	if s.manifest != nil {
		m := newManifest(v.Envelope)
		s.manifest(m)
		content := m.content()
		v.Manifest = &content
	}
	return v
}

// slug makes a file name of a text.
func slug(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return strings.Join(words, "-")
}

// envelope signs and encodes.
func (s *scene) envelope() []byte {
	data := map[string]func() []byte{jws: s.encodeJWS, cose: s.encodeCOSE}[s.format]()
	if s.bytes != nil {
		return s.bytes(data)
	}
	return data
}

// policy is the trust policy document.
func (s *scene) policy() json.RawMessage {
	type trustPolicy struct {
		Name                  string    `json:"name"`
		RegistryScopes        []string  `json:"registryScopes"`
		SignatureVerification statement `json:"signatureVerification"`
		TrustStores           []string  `json:"trustStores"`
		TrustedIdentities     []string  `json:"trustedIdentities"`
	}
	stores := make([]string, 0, len(s.stores))
	for store := range s.stores {
		stores = append(stores, store)
	}
	slices.Sort(stores)
	only := trustPolicy{"vectors", []string{vectors.Scope}, s.verification, stores, s.verification.identities}
	return must(json.Marshal(struct {
		Version       string        `json:"version"`
		TrustPolicies []trustPolicy `json:"trustPolicies"`
	}{"1.0", []trustPolicy{only}}))
}

// artifact is what all signatures are for: an image without layers.
var artifact = func() vectors.Descriptor {
	data := []byte(`{"schemaVersion":2,"mediaType":"` + typeImage + `","artifactType":"application/vnd.example.vectors",` +
		`"config":{"mediaType":"` + typeEmpty + `","digest":"` + digestOf([]byte("{}")) + `","size":2},` +
		`"layers":[{"mediaType":"` + typeEmpty + `","digest":"` + digestOf([]byte("{}")) + `","size":2}]}`)
	return vectors.Descriptor{MediaType: typeImage, Digest: digestOf(data), Size: int64(len(data)), Data: data}
}()

// payloadOf is the payload that describes an artifact.
func payloadOf(a vectors.Descriptor) string {
	return fmt.Sprintf(`{"targetArtifact":{"digest":%q,"mediaType":%q,"size":%d}}`, a.Digest, a.MediaType, a.Size)
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func digest512(data []byte) string { return fmt.Sprintf("sha512:%x", sha512.Sum512(data)) }
