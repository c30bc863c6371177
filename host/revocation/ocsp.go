package revocation

import (
	"bytes"
	"context"
	"crypto"
	"crypto/fips140"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/crypto/ocsp"

	"github.com/signet-project/signet/host/pki"
)

// answerKey says what an answer in memory is about. An answer of one issuer
// cannot serve a certificate of another.
type answerKey struct {
	issuer identity
	serial string
}

// askResponders asks the certificate's OCSP responders in order, until one gives
// a usable answer. "Unknown" is such an answer: it ends the search, and leaves
// the question open.
func (c *Checker) askResponders(ctx context.Context, t *target, report *CertificateReport) {
	if fips140.Enforced() {
		report.attempt(MethodOCSP, t.cert.OCSPServer[0], problem(ProblemAlgorithm, "OCSP requests need SHA-1, which GODEBUG=fips140=only forbids: use fips140=on"))
		return
	}
	if remembered := c.recall(ctx, t); remembered != nil {
		report.attempt(MethodOCSP, remembered.url, nil)
		report.decideAnswer(t, remembered, true)
		return
	}
	for i, server := range t.cert.OCSPServer {
		if i == maxServers {
			report.attempt(MethodOCSP, server, problem(ProblemLimit, "the certificate names more than %d OCSP responders", maxServers))
			return
		}
		found, err := c.ask(ctx, t, server)
		if err == nil && found.status == statusUnknown {
			report.attempt(MethodOCSP, server, problem(ProblemUnknown, "the OCSP responder does not know the certificate"))
			return
		}
		report.attempt(MethodOCSP, server, err)
		if err == nil {
			report.decideAnswer(t, found, false)
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (r *CertificateReport) decideAnswer(t *target, a *answer, cached bool) {
	age := Age{ThisUpdate: a.thisUpdate, NextUpdate: a.nextUpdate, FetchedAt: a.fetchedAt, Cached: cached}
	if a.status == statusGood {
		r.decide(ResultOK, MethodOCSP, a.url, age, nil)
		return
	}
	revocation, result := a.revocation, ResultRevoked
	if revocation.excusedAt(t.ocspReference) {
		result = ResultOK
	}
	r.decide(result, MethodOCSP, a.url, age, &revocation)
}

// recall returns an answer from memory that is still usable, or nil.
func (c *Checker) recall(ctx context.Context, t *target) *answer {
	a, ok := c.answers.get(answerKey{t.issuerID, string(t.serial)})
	if !ok || !c.reusable(a.fetchedAt, c.now()) || c.usable(ctx, t, a) != nil {
		return nil
	}
	return a
}

// ask returns a usable answer of one responder.
func (c *Checker) ask(ctx context.Context, t *target, server string) (*answer, error) {
	if err := checkURL(server); err != nil {
		return nil, err
	}
	key := flightKey{issuer: t.issuerID, serial: string(t.serial), url: server}
	return c.answerFlights.do(ctx, key, func(ctx context.Context) (*answer, error) {
		request, err := ocspRequest(ctx, t, server)
		if err != nil {
			return nil, err
		}
		body, err := c.fetch(request, timeoutOr(c.OCSPTimeout, DefaultOCSPTimeout), maxResponseSize)
		if err != nil {
			return nil, err
		}
		parsed, err := parseResponse(body)
		if err != nil {
			return nil, err
		}
		a, err := parsed.answerFor(t)
		if err != nil {
			return nil, err
		}
		a.url, a.fetchedAt = server, c.now()
		if err := c.usable(ctx, t, a); err != nil {
			return nil, err
		}
		if a.status != statusUnknown {
			c.answers.put(answerKey{t.issuerID, string(t.serial)}, a, 1, maxAnswers)
		}
		return a, nil
	})
}

// usable checks what ages about an answer: its times, and that the responder it
// comes from has not been revoked.
func (c *Checker) usable(ctx context.Context, t *target, a *answer) error {
	if err := a.checkTime(c.now()); err != nil {
		return err
	}
	if a.responder == nil || hasNoCheck(a.responder) {
		return nil
	}
	responder := newTarget(a.responder, t.issuer)
	if !responder.crl.present {
		return nil
	}
	report := CertificateReport{Result: ResultUnknown}
	c.searchLists(ctx, responder, &report)
	if report.Result == ResultOK {
		return nil
	}
	var causes []error
	for _, attempt := range report.Attempts {
		causes = append(causes, attempt.Err)
	}
	name := pki.DisplayName(a.responder.RawSubject)
	if report.Result == ResultRevoked {
		return problem(ProblemResponder, "the OCSP responder's own certificate, %q, is revoked", name)
	}
	return problem(ProblemResponder, "whether the OCSP responder's own certificate, %q, is revoked is unknown: %w", name, errors.Join(causes...))
}

// maxGET is the length from which the encoded request goes into the body of a
// POST (RFC 6960, appendix A.1).
const maxGET = 255

// ocspRequest makes the HTTP request that asks a responder about t.
func ocspRequest(ctx context.Context, t *target, server string) (*http.Request, error) {
	// SHA-1 names the issuer here and protects nothing; many responders know no other.
	der, err := ocsp.CreateRequest(t.cert, t.issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	if err != nil {
		return nil, problem(ProblemMalformed, "cannot make an OCSP request: %w", err)
	}
	encoded := url.QueryEscape(base64.StdEncoding.EncodeToString(der))
	if len(encoded) < maxGET && !strings.ContainsAny(server, "?#") {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(server, "/")+"/"+encoded, nil)
		if err != nil {
			return nil, problem(ProblemURL, "malformed URL")
		}
		return request, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server, bytes.NewReader(der))
	if err != nil {
		return nil, problem(ProblemURL, "malformed URL")
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	return request, nil
}
