// Package testocsp is an OCSP responder for tests.
package testocsp

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/signet-project/signet/internal/testpki"
)

// Handler answers requests by GET and POST (RFC 6960, appendix A.1) as the authority
// that issuer returns when it is asked. The first element of the URL's path, if there
// is more than the request, names the certificate: edit may change the answer, which
// is a good one, by that name; nil leaves it.
func Handler(issuer func() *testpki.Entity, edit func(name string, answer *ocsp.Response)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The request is base64, whose own slashes are escaped.
		name, encoded, found := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		if !found && r.Method == http.MethodGet {
			name, encoded = "", name
		}
		encoded, err := url.PathUnescape(encoded)
		var body []byte
		if err == nil {
			body, err = base64.StdEncoding.DecodeString(encoded)
		}
		if r.Method == http.MethodPost {
			body, err = io.ReadAll(r.Body)
		}
		var request *ocsp.Request
		if err == nil {
			request, err = ocsp.ParseRequest(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ca := issuer()
		now := time.Now()
		answer := ocsp.Response{SerialNumber: request.SerialNumber, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(time.Hour)}
		if edit != nil {
			edit(name, &answer)
		}
		der, err := ocsp.CreateResponse(ca.Cert, ca.Cert, answer, ca.Key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		w.Write(der)
	})
}
