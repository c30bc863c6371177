package pki

import (
	"crypto"
	_ "crypto/sha1"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"
)

// pssParams is RSASSA-PSS-params as encoding/asn1 writes it.
type pssParams struct {
	Hash    pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
	Mask    pssMask                  `asn1:"explicit,tag:1"`
	Salt    int                      `asn1:"explicit,tag:2"`
	Trailer int                      `asn1:"optional,explicit,tag:3"` // zero is left out
}

type pssMask struct {
	Function asn1.ObjectIdentifier
	Hash     pkix.AlgorithmIdentifier
}

// goodPSS are parameters that are allowed, with NULL for those of the hashes.
func goodPSS(i int) pssParams {
	hash := pkix.AlgorithmIdentifier{Algorithm: pssHashes[i].oid, Parameters: asn1.NullRawValue}
	return pssParams{Hash: hash, Mask: pssMask{oidMGF1, hash}, Salt: pssHashes[i].hash.Size()}
}

func mustMarshal(t testing.TB, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestPSSHash(t *testing.T) {
	t.Parallel()
	for i, known := range pssHashes {
		for name, edit := range map[string]func(*pssParams){
			"NULL":    func(*pssParams) {},
			"no NULL": func(p *pssParams) { p.Hash.Parameters, p.Mask.Hash.Parameters = asn1.RawValue{}, asn1.RawValue{} },
			"trailer": func(p *pssParams) { p.Trailer = 1 },
		} {
			params := goodPSS(i)
			edit(&params)
			if hash, ok := PSSHash(mustMarshal(t, params)); !ok || hash != known.hash {
				t.Errorf("%v, %s: got %v, %v", known.hash, name, hash, ok)
			}
		}
	}
	sha1 := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, Parameters: asn1.NullRawValue}
	number := asn1.RawValue{FullBytes: []byte{2, 1, 0}}
	for name, edit := range map[string]func(*pssParams){
		"SHA-1":                     func(p *pssParams) { p.Hash, p.Mask.Hash, p.Salt = sha1, sha1, crypto.SHA1.Size() },
		"another mask hash":         func(p *pssParams) { p.Mask.Hash = goodPSS(2).Hash },
		"another mask function":     func(p *pssParams) { p.Mask.Function = sha1.Algorithm },
		"another salt":              func(p *pssParams) { p.Salt = 20 },
		"another trailer":           func(p *pssParams) { p.Trailer = 2 },
		"a hash with parameters":    func(p *pssParams) { p.Hash.Parameters = number },
		"a mask hash with a number": func(p *pssParams) { p.Mask.Hash.Parameters = number },
	} {
		params := goodPSS(0)
		edit(&params)
		if hash, ok := PSSHash(mustMarshal(t, params)); ok || hash != 0 {
			t.Errorf("%s: got %v, %v", name, hash, ok)
		}
	}
	good := mustMarshal(t, goodPSS(0))
	longer := slices.Concat([]byte{good[0], good[1] + 2}, good[2:], asn1.NullBytes)
	for name, der := range map[string][]byte{
		"nothing": nil, "NULL": asn1.NullBytes, "no fields": {0x30, 0}, "cut": good[:len(good)-1],
		"something after": slices.Concat(good, asn1.NullBytes), "a fifth field": longer,
	} {
		if hash, ok := PSSHash(der); ok || hash != 0 {
			t.Errorf("%s: got %v, %v", name, hash, ok)
		}
	}
}

// FuzzPSSHash: no input makes the parser panic, and what it accepts says what it found
// also to encoding/asn1.
func FuzzPSSHash(f *testing.F) {
	for i := range pssHashes {
		f.Add(mustMarshal(f, goodPSS(i)))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		hash, ok := PSSHash(der)
		if !ok {
			return
		}
		var params pssParams
		rest, err := asn1.Unmarshal(der, &params)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%x: rest %x, %v", der, rest, err)
		}
		named := func(oid asn1.ObjectIdentifier) bool {
			for _, known := range pssHashes {
				if known.oid.Equal(oid) {
					return known.hash == hash
				}
			}
			return false
		}
		if !named(params.Hash.Algorithm) || !named(params.Mask.Hash.Algorithm) || params.Salt != hash.Size() {
			t.Errorf("%x is %v", der, hash)
		}
	})
}
