package revocation

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"github.com/signet-project/signet/host/pki"
)

// Result is what is known about a certificate, or about a whole chain.
type Result string

// The results. For a chain, Revoked wins over Unknown, and Unknown over the rest.
const (
	// ResultOK: a server vouched for the certificate.
	ResultOK Result = "ok"
	// ResultNonRevokable: the certificate names neither an OCSP responder nor a
	// CRL, or is the chain's root.
	ResultNonRevokable Result = "nonRevokable"
	// ResultUnknown: no server gave an answer that can be used.
	ResultUnknown Result = "unknown"
	// ResultRevoked: the certificate is revoked as far as the signature is concerned.
	ResultRevoked Result = "revoked"
)

// Method is a way of asking.
type Method string

// The methods.
const (
	MethodOCSP Method = "OCSP"
	MethodCRL  Method = "CRL"
)

// Reason is a CRLReason (RFC 5280, section 5.3.1).
type Reason int

// The reasons. 7 is not used, and 8 only takes a certificate off hold.
const (
	ReasonUnspecified          Reason = 0
	ReasonKeyCompromise        Reason = 1
	ReasonCACompromise         Reason = 2
	ReasonAffiliationChanged   Reason = 3
	ReasonSuperseded           Reason = 4
	ReasonCessationOfOperation Reason = 5
	ReasonCertificateHold      Reason = 6
	ReasonRemoveFromCRL        Reason = 8
	ReasonPrivilegeWithdrawn   Reason = 9
	ReasonAACompromise         Reason = 10
)

var reasonNames = map[Reason]string{
	ReasonUnspecified: "unspecified", ReasonKeyCompromise: "keyCompromise", ReasonCACompromise: "cACompromise",
	ReasonAffiliationChanged: "affiliationChanged", ReasonSuperseded: "superseded",
	ReasonCessationOfOperation: "cessationOfOperation", ReasonCertificateHold: "certificateHold",
	ReasonRemoveFromCRL: "removeFromCRL", ReasonPrivilegeWithdrawn: "privilegeWithdrawn", ReasonAACompromise: "aACompromise",
}

// String returns the name that RFC 5280 gives the reason.
func (r Reason) String() string {
	if name, ok := reasonNames[r]; ok {
		return name
	}
	return fmt.Sprintf("reason %d", int(r))
}

// Revocation is what the authority says about a revoked certificate.
type Revocation struct {
	// Time is when the authority revoked the certificate.
	Time time.Time
	// Reason is ReasonUnspecified when the authority gives none.
	Reason Reason
	// InvalidityDate is since when the key is thought to be compromised; zero
	// when the authority does not say.
	InvalidityDate time.Time
}

// excusedAt tells whether something signed at reference was signed while the
// certificate was still good: the authority says since when it was not, and
// that is later.
func (r Revocation) excusedAt(reference time.Time) bool {
	return !reference.IsZero() && !r.InvalidityDate.IsZero() && r.InvalidityDate.After(reference)
}

// temporary tells whether the reason is hold, or the end of it.
func (r Revocation) temporary() bool {
	return r.Reason == ReasonCertificateHold || r.Reason == ReasonRemoveFromCRL
}

// Age tells how old an answer is.
type Age struct {
	// ThisUpdate is the time the authority gave the answer for.
	ThisUpdate time.Time
	// NextUpdate is when the authority promised newer information; zero when it
	// did not.
	NextUpdate time.Time
	// FetchedAt is when the answer was received from its server. Where a CRL
	// and its delta were needed it is the earlier of the two.
	FetchedAt time.Time
	// Cached tells that no server was asked this time.
	Cached bool
}

// older returns the age with the earlier FetchedAt.
func (a Age) older(b Age) Age {
	if a.FetchedAt.IsZero() || b.FetchedAt.Before(a.FetchedAt) {
		return b
	}
	return a
}

// Attempt is one question to one server, or to a cache on its behalf.
type Attempt struct {
	Method Method
	URL    string
	// Err says why the answer could not be used, an *Error; nil when it was used.
	Err error
}

// CertificateReport is what was found out about one certificate.
type CertificateReport struct {
	Certificate *x509.Certificate
	Result      Result
	// Method and Server tell who decided; empty when nobody did.
	Method Method
	Server string
	// Age is the deciding answer's; zero when nobody decided.
	Age Age
	// Revocation is what the authority says where the certificate is revoked. It is
	// also set, with ResultOK, where the reference time excuses the revocation.
	Revocation *Revocation
	// Attempts lists who was asked, in order.
	Attempts []Attempt
}

// Subject returns the certificate's subject for display.
func (r *CertificateReport) Subject() string { return pki.DisplayName(r.Certificate.RawSubject) }

// LogValue makes the subject the report's value in logs.
func (r *CertificateReport) LogValue() slog.Value { return slog.StringValue(r.Subject()) }

// Report is what was found out about a chain.
type Report struct {
	// Purpose is the one asked about.
	Purpose pki.Purpose
	// Result sums up Certificates.
	Result Result
	// Certificates has an entry for each certificate, in the chain's order,
	// leaf first. It is empty when the chain itself is not acceptable.
	Certificates []CertificateReport
	// ChainErr says why the chain is not acceptable; then nobody was asked, and
	// Result is ResultUnknown.
	ChainErr error
}

// Err returns nil when no certificate is revoked or unknown. Otherwise it is a
// *ChainError or a *StatusError.
func (r Report) Err() error {
	if r.ChainErr != nil {
		return &ChainError{Err: r.ChainErr}
	}
	for _, result := range []Result{ResultRevoked, ResultUnknown} {
		for i, cert := range r.Certificates {
			if cert.Result == result {
				return &StatusError{Purpose: r.Purpose, Index: i, Subject: cert.Subject(), Result: result, Attempts: cert.Attempts}
			}
		}
	}
	if r.Result != ResultOK && r.Result != ResultNonRevokable {
		return &ChainError{Err: pki.ErrEmptyChain} // a Report that no Check returned
	}
	return nil
}

// summarize sets Result from Certificates.
func (r *Report) summarize() {
	rank := map[Result]int{ResultNonRevokable: 0, ResultOK: 1, ResultUnknown: 2, ResultRevoked: 3}
	r.Result = ResultNonRevokable
	for _, cert := range r.Certificates {
		if rank[cert.Result] > rank[r.Result] {
			r.Result = cert.Result
		}
	}
}
