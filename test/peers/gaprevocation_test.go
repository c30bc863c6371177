package peers

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	notationrevocation "github.com/notaryproject/notation-core-go/revocation"
	"github.com/notaryproject/notation-core-go/revocation/crl"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"golang.org/x/crypto/ocsp"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/revocation"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

// office is an authority with a web server for its CRLs and OCSP answers.
type office struct {
	t    *testing.T
	url  string
	root *testpki.Entity
	mux  *http.ServeMux
}

func newOffice(t *testing.T) *office {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &office{t, server.URL, testpki.Root(t, "root"), mux}
}

// patience is what requests get, so that a busy machine does not make an answer
// unknown.
const patience = time.Minute

func newChecker() *revocation.Checker {
	return &revocation.Checker{OCSPTimeout: patience, CRLTimeout: patience}
}

// status has both find out about the first certificate of a chain, each at an
// office of its own.
func status(arrange func(o *office) *testpki.Entity) func(*testing.T) (theirs, ours string) {
	return func(t *testing.T) (theirs, ours string) {
		client := &http.Client{Timeout: patience}
		fetcher, err := crl.NewHTTPFetcher(client)
		if err != nil {
			t.Fatal(err)
		}
		validator, err := notationrevocation.NewWithOptions(notationrevocation.Options{OCSPHTTPClient: client, CRLFetcher: fetcher, CertChainPurpose: purpose.CodeSigning})
		if err != nil {
			t.Fatal(err)
		}
		results, err := validator.ValidateContext(t.Context(), notationrevocation.ValidateContextOptions{CertChain: arrange(newOffice(t)).Chain()})
		if err != nil {
			t.Fatal(err)
		}
		report := newChecker().Check(t.Context(), revocation.Request{Chain: arrange(newOffice(t)).Chain()})
		if report.ChainErr != nil {
			t.Fatal(report.ChainErr)
		}
		return strings.ToLower(results[0].Result.String()), string(report.Certificates[0].Result)
	}
}

// serve has the office answer requests below a name and returns the URL.
func (o *office) serve(name string, answer func() []byte) string {
	handle := func(w http.ResponseWriter, _ *http.Request) { w.Write(answer()) }
	o.mux.HandleFunc("/"+name, handle)
	o.mux.HandleFunc("/"+name+"/", handle)
	return o.url + "/" + name
}

// vouched is a leaf about which the office gives OCSP answers; edit changes the
// answer and says who signs it.
func (o *office) vouched(edit func(leaf *testpki.Entity, answer *ocsp.Response) (issuer, signer *testpki.Entity)) *testpki.Entity {
	var leaf *testpki.Entity
	url := o.serve("ocsp", func() []byte {
		now := time.Now().Truncate(time.Second)
		answer := ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.Cert.SerialNumber, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour)}
		issuer, signer := edit(leaf, &answer)
		if signer != o.root {
			answer.Certificate = signer.Cert
		}
		data, err := ocsp.CreateResponse(issuer.Cert, signer.Cert, answer, signer.Key)
		if err != nil {
			o.t.Error(err)
		}
		return data
	})
	leaf = o.root.Leaf(o.t, "signer", protocol.KeySpecEC256, func(c *x509.Certificate) { c.OCSPServer = []string{url} })
	return leaf
}

// delegate is a responder of the office.
func (o *office) delegate(edits ...testpki.Edit) *testpki.Entity {
	responder := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	return o.root.Leaf(o.t, "responder", protocol.KeySpecEC256, append([]testpki.Edit{responder}, edits...)...)
}

func selfVouched(o *office) *testpki.Entity {
	return o.vouched(func(leaf *testpki.Entity, _ *ocsp.Response) (issuer, signer *testpki.Entity) { return o.root, leaf })
}

func expiredResponder(o *office) *testpki.Entity {
	now := time.Now()
	noCheck := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: asn1.NullBytes}
	responder := o.delegate(testpki.Validity(now.Add(-2*time.Hour), now.Add(-time.Hour)), extended(noCheck))
	return o.vouched(func(_ *testpki.Entity, _ *ocsp.Response) (issuer, signer *testpki.Entity) { return o.root, responder })
}

func revokedResponder(o *office) *testpki.Entity {
	var responder *testpki.Entity
	url := o.serve("responders.crl", func() []byte { return o.list(nil, responder) })
	responder = o.delegate(points(url))
	return o.vouched(func(_ *testpki.Entity, _ *ocsp.Response) (issuer, signer *testpki.Entity) { return o.root, responder })
}

func noNextUpdate(o *office) *testpki.Entity {
	return o.vouched(func(_ *testpki.Entity, answer *ocsp.Response) (issuer, signer *testpki.Entity) {
		answer.NextUpdate = time.Time{}
		return o.root, o.root
	})
}

func fromTheFuture(o *office) *testpki.Entity {
	return o.vouched(func(_ *testpki.Entity, answer *ocsp.Response) (issuer, signer *testpki.Entity) {
		answer.ThisUpdate, answer.NextUpdate = time.Now().Add(2*time.Hour), time.Now().Add(3*time.Hour)
		return o.root, o.root
	})
}

func otherIssuer(o *office) *testpki.Entity {
	other := testpki.Root(o.t, "other")
	return o.vouched(func(_ *testpki.Entity, _ *ocsp.Response) (issuer, signer *testpki.Entity) { return other, o.root })
}

func extended(extensions ...pkix.Extension) testpki.Edit {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, extensions...) }
}

// points names CRL distribution points.
func points(urls ...string) testpki.Edit {
	return func(c *x509.Certificate) { c.CRLDistributionPoints = urls }
}

// list makes a CRL of the office, by default a good one without entries.
func (o *office) list(edit func(*x509.RevocationList), revoked ...*testpki.Entity) []byte {
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	for _, e := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: e.Cert.SerialNumber, RevocationTime: now.Add(-time.Minute), ReasonCode: int(revocation.ReasonKeyCompromise),
		})
	}
	if edit != nil {
		edit(list)
	}
	data, err := x509.CreateRevocationList(rand.Reader, list, o.root.Cert, o.root.Key)
	if err != nil {
		o.t.Error(err)
	}
	return data
}

// listed is a leaf whose status is in CRLs.
func (o *office) listed(urls []string, edits ...testpki.Edit) *testpki.Entity {
	return o.root.Leaf(o.t, "signer", protocol.KeySpecEC256, append([]testpki.Edit{points(urls...)}, edits...)...)
}

func firstPointGone(o *office) *testpki.Entity {
	return o.listed([]string{o.url + "/gone", o.serve("good.crl", func() []byte { return o.list(nil) })})
}

func ldapPoint(o *office) *testpki.Entity {
	return o.listed([]string{"ldap://localhost/cn=crl", o.serve("good.crl", func() []byte { return o.list(nil) })})
}

func expiredList(o *office) *testpki.Entity {
	var leaf *testpki.Entity
	leaf = o.listed([]string{o.serve("expired.crl", func() []byte {
		return o.list(func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) }, leaf)
	})})
	return leaf
}

func nextPublish(o *office) *testpki.Entity {
	var leaf *testpki.Entity
	var requests atomic.Int32
	due := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 21, 4}, Value: o.marshal(time.Now().Add(-time.Minute).UTC())}
	leaf = o.listed([]string{o.serve("published.crl", func() []byte {
		if requests.Add(1) == 1 {
			return o.list(func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{due} })
		}
		return o.list(func(l *x509.RevocationList) { l.Number = big.NewInt(2) }, leaf)
	})})
	return leaf
}

func freshestInCertificate(o *office) *testpki.Entity {
	var leaf *testpki.Entity
	base := o.serve("base.crl", func() []byte { return o.list(nil) })
	delta := o.serve("delta.crl", func() []byte {
		return o.list(func(l *x509.RevocationList) {
			l.Number = big.NewInt(2)
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: o.marshal(1)}}
		}, leaf)
	})
	leaf = o.listed([]string{base}, extended(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 46}, Value: o.distributionPoint(delta)}))
	return leaf
}

func authoritiesOnly(o *office) *testpki.Entity {
	scope := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: o.marshal(struct {
		CACertificates bool `asn1:"optional,tag:2"`
	}{true})}
	return o.listed([]string{o.serve("authorities.crl", func() []byte {
		return o.list(func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{scope} })
	})})
}

// distributionPoint is the value of an extension with one point.
func (o *office) distributionPoint(url string) []byte {
	type name struct {
		FullName []asn1.RawValue `asn1:"optional,tag:0"`
	}
	type point struct {
		Name name `asn1:"optional,tag:0"`
	}
	return o.marshal([]point{{name{[]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(url)}}}}})
}

func (o *office) marshal(value any) []byte {
	der, err := asn1.Marshal(value)
	if err != nil {
		o.t.Fatal(err)
	}
	return der
}

// revokedLater has both verify a signature whose certificate was revoked, with
// effect from after the time that a countersignature proves.
func revokedLater(t *testing.T) (theirs, ours string) {
	o := newOffice(t)
	signed := time.Now().Add(-30 * time.Minute).Truncate(time.Second)
	var leaf *testpki.Entity
	leaf = o.listed([]string{o.serve("later.crl", func() []byte {
		der, err := asn1.MarshalWithParams(signed.Add(10*time.Minute).UTC(), "generalized")
		if err != nil {
			t.Error(err)
		}
		return o.list(func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 24}, Value: der}}
		}, leaf)
	})})
	at := locally(t)
	attach(t, at, envelope.FormatJWS, countersigned(t, at, leaf, signed, o.root.TSA(t, "tsa", protocol.KeySpecEC256)), leaf)
	directory := newConfig(t, o.root, "ca:peers", "tsa:peers")
	_, their := peer{config: directory}.outcome(t, at, nil)
	_, our := library{config: directory, revocation: newChecker()}.outcome(t, at, nil)
	return said(their), said(our)
}

// countersigned makes a signature in JWS with a countersignature.
func countersigned(t *testing.T, at *place, key *testpki.Entity, signed time.Time, authority *testpki.Entity) []byte {
	t.Helper()
	payload, err := envelope.MarshalPayload(envelope.MediaTypeJWS, at.artifact)
	if err != nil {
		t.Fatal(err)
	}
	suite, err := protocol.SuiteForKey(key.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	draft, err := envelope.NewDraft(envelope.MediaTypeJWS, envelope.DraftOptions{Payload: payload, Suite: suite, Scheme: envelope.SchemeX509, SigningTime: signed})
	if err != nil {
		t.Fatal(err)
	}
	value, err := pki.Sign(key.Key, draft.SigningInput())
	if err != nil {
		t.Fatal(err)
	}
	data, err := draft.Seal(envelope.SealOptions{
		Signature: value, Chain: key.Chain(), Agent: "crafted",
		Timestamp: testtsa.Token(t, testtsa.Options{Signer: authority, GenTime: signed}, value, suite.CryptoHash),
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}
