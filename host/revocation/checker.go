package revocation

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/signet-project/signet/host/pki"
)

// The values that zero fields of Checker stand for.
const (
	DefaultOCSPTimeout = 2 * time.Second
	DefaultCRLTimeout  = 5 * time.Second
	DefaultMaxAge      = time.Hour
)

const (
	// clockSkew is how far a server's clock may be ahead of ours.
	clockSkew = time.Minute
	// maxServers bounds the servers that are asked for one certificate by one
	// method.
	maxServers = 8
	// maxConcurrent bounds the certificates of a chain that are checked at once.
	maxConcurrent = 4

	maxResponseSize = 20480    // bytes of an OCSP response
	maxListSize     = 32 << 20 // bytes of a CRL

	// What the caches in memory may hold.
	maxAnswers     = 4096     // OCSP answers
	maxListsMemory = 96 << 20 // bytes of CRLs
)

// Checker finds out whether certificates are revoked. The zero value works: it
// uses an http.Client of its own and no files. A Checker keeps answers in
// memory and may be used by several goroutines; it must not be copied, and its
// fields must not be changed once it is in use.
type Checker struct {
	// HTTPClient sends the requests; proxies, their certificate authorities and
	// connection limits are its transport's business. Redirects are followed to
	// http URLs alone, three at most. nil means a client with Go's default
	// transport.
	HTTPClient *http.Client
	// OCSPTimeout and CRLTimeout bound each request; zero means 2 s and 5 s.
	OCSPTimeout, CRLTimeout time.Duration
	// MaxAge is how long an answer is used again at most, the revocationMaxAge;
	// it is never used beyond its nextUpdate. Zero means 1 h; with less than
	// zero servers are asked every time.
	MaxAge time.Duration
	// Cache keeps CRLs in files; nil means it does not.
	Cache *FileCache
	// UserAgent is sent with each request, "notation/1.2.3"; empty means Go's.
	UserAgent string
	// Warn is told, once, when the file cache could not be read or written; the check
	// goes on without it. May be nil.
	Warn func(error)
	// Logger gets details; nil means none.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	answers        memory[answerKey, *answer]
	answerFlights  flights[flightKey, *answer]
	lists          memory[listKey, *fetchedList]
	listFlights    flights[flightKey, *fetchedList]
	warnCacheError sync.Once
}

// Request asks about a chain.
type Request struct {
	// Chain is ordered from leaf to root.
	Chain []*x509.Certificate
	// Purpose is what the chain is used for. It selects the chain's rules and the
	// words of errors.
	Purpose pki.Purpose
	// ReferenceTime is when the signature was made, as far as that is proven; zero
	// when it is not. A certificate whose authority says since when its key was
	// compromised, and that is later, does not count as revoked. It is ignored
	// for time-stamping chains.
	ReferenceTime time.Time
	// FromTimestamp tells that ReferenceTime is the upper bound of a timestamp
	// that passed all checks, not the authentic signing time of the
	// notary.x509.signingAuthority scheme. It then counts for CRLs alone.
	FromTimestamp bool
	// ChainChecked tells that the caller has had the chain pass pki.CheckChain
	// for this purpose, so that its signatures need not be verified again.
	ChainChecked bool
}

// identity tells certificates, and so issuers, apart.
type identity [sha256.Size]byte

func identityOf(cert *x509.Certificate) identity { return sha256.Sum256(cert.Raw) }

// flightKey identifies a request that callers may share.
type flightKey struct {
	issuer identity
	serial string // OCSP only
	url    string
	from   origin // CRLs only
}

// target is a certificate to check, with what it takes to do so.
type target struct {
	cert     *x509.Certificate
	issuer   *x509.Certificate
	issuerID identity
	serial   []byte // INTEGER content
	isCA     bool
	crl      points
	freshest points
	// ocspReference and crlReference are the times that an invalidity date is
	// compared with; zero means that no invalidity date excuses.
	ocspReference, crlReference time.Time
}

func newTarget(cert, issuer *x509.Certificate) *target {
	return &target{
		cert: cert, issuer: issuer, issuerID: identityOf(issuer),
		serial: integerContent(cert.SerialNumber), isCA: pki.IsCA(cert),
		crl: certificatePoints(cert, oidCRLDistributionPoints), freshest: certificatePoints(cert, oidFreshestCRL),
	}
}

// Check finds out about every certificate of a chain but the root, which nobody
// can revoke. It takes at most as long as the servers of the slowest
// certificate are given, and returns early when ctx ends; what was not found
// out then is unknown.
func (c *Checker) Check(ctx context.Context, request Request) Report {
	report := Report{Purpose: request.Purpose, Result: ResultUnknown}
	if report.ChainErr = checkChain(request); report.ChainErr != nil {
		return report
	}
	chain := request.Chain
	report.Certificates = make([]CertificateReport, len(chain))
	slots := make(chan struct{}, maxConcurrent)
	var wg sync.WaitGroup
	for i, cert := range chain {
		entry := &report.Certificates[i]
		*entry = CertificateReport{Certificate: cert, Result: ResultNonRevokable}
		if i == len(chain)-1 {
			break // the root
		}
		if len(cert.OCSPServer) == 0 && !namesCRL(cert) {
			c.logger().Warn("certificate neither has an OCSP nor a CRL revocation method", "subject", entry, "index", i)
			continue
		}
		t := newTarget(cert, chain[i+1])
		if request.Purpose != pki.Timestamping {
			t.crlReference = request.ReferenceTime
			if !request.FromTimestamp {
				t.ocspReference = request.ReferenceTime
			}
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c.checkCertificate(ctx, t, entry)
		})
	}
	wg.Wait()
	report.summarize()
	return report
}

func checkChain(request Request) error {
	if len(request.Chain) == 0 {
		return pki.ErrEmptyChain
	}
	if request.ChainChecked {
		return nil
	}
	return pki.CheckChain(request.Chain, request.Purpose)
}

// checkCertificate asks by OCSP, and where that leaves the question open by CRL.
func (c *Checker) checkCertificate(ctx context.Context, t *target, report *CertificateReport) {
	report.Result = ResultUnknown
	if len(t.cert.OCSPServer) != 0 {
		c.askResponders(ctx, t, report)
	}
	if report.Result == ResultUnknown && t.crl.present {
		c.searchLists(ctx, t, report)
	}
	log := c.logger()
	for _, attempt := range report.Attempts {
		if attempt.Err != nil {
			log.Debug("revocation check attempt failed", "subject", report, "method", attempt.Method, "url", attempt.URL, "error", attempt.Err)
		}
	}
	log.Debug("revocation checked", "subject", report, "result", report.Result, "method", report.Method, "server", report.Server)
}

// decide records a usable answer. With ResultOK, revocation is one that the reference
// time excuses, or nil.
func (r *CertificateReport) decide(result Result, method Method, server string, age Age, revocation *Revocation) {
	r.Result, r.Method, r.Server, r.Age, r.Revocation = result, method, server, age, revocation
}

func (r *CertificateReport) attempt(method Method, url string, err error) {
	r.Attempts = append(r.Attempts, Attempt{Method: method, URL: url, Err: err})
}

func (c *Checker) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c *Checker) logger() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

func (c *Checker) maxAge() time.Duration { return cmp.Or(c.MaxAge, DefaultMaxAge) }

// reusable tells whether an answer fetched at a time may be used again now.
func (c *Checker) reusable(fetchedAt, now time.Time) bool {
	age := now.Sub(fetchedAt)
	return age <= c.maxAge() && age >= -clockSkew
}

func timeoutOr(timeout, standard time.Duration) time.Duration {
	if timeout <= 0 {
		return standard
	}
	return timeout
}
