package cli

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"time"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/timestamp"
)

// timestamper makes the client of the authority that the flags name.
func (a *app) timestamper(f *signerFlags) (host.Timestamper, error) {
	u, err := url.Parse(f.timestampURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("timestamping: %q is not an http or https URL of a timestamp authority", f.timestampURL)
	}
	data, err := readNamed(f.timestampRoot)
	if err != nil {
		return nil, fmt.Errorf("timestamping: %w", err)
	}
	root, err := timestamp.ParseRootFile(data)
	if err != nil {
		return nil, fmt.Errorf("timestamping: root certificate %s: %w", f.timestampRoot, err)
	}
	_, client, err := a.network()
	if err != nil {
		return nil, err
	}
	// Many signatures may be made at once; they share the checker.
	if _, err := a.revocationChecker(); err != nil {
		return nil, err
	}
	return &timestamp.Authority{
		URL:        f.timestampURL,
		Roots:      []*x509.Certificate{root},
		HTTPClient: client,
		UserAgent:  a.userAgent(),
		Revocation: a.checkAuthority,
		Now:        a.Now,
	}, nil
}

// timestampView is a countersignature in inspect's output.
type timestampView struct {
	Timestamp    string            `json:"timestamp,omitempty"`
	Certificates []certificateView `json:"certificates,omitempty"`
	Error        string            `json:"error,omitempty"`

	lower, upper time.Time
}

// viewTimestamp reads a countersignature for display; its trust is not checked.
func viewTimestamp(env *envelope.Envelope) timestampView {
	token, err := timestamp.Parse(env.Timestamp)
	if err != nil {
		return timestampView{Error: fmt.Sprintf("failed to parse timestamp countersignature: %s", err)}
	}
	lower, upper := token.Range()
	return timestampView{
		Timestamp:    fmt.Sprintf("[%s, %s]", lower.Format(time.RFC3339Nano), upper.Format(time.RFC3339Nano)),
		Certificates: viewCertificates(token.Certificates),
		lower:        lower, upper: upper,
	}
}

// addTimestamp puts a countersignature below a node of the tree.
func addTimestamp(n *node, view timestampView) {
	if view.Error != "" {
		n.pair("error", view.Error)
		return
	}
	n.pair("timestamp", fmt.Sprintf("[%s, %s]", view.lower.Format(time.ANSIC), view.upper.Format(time.ANSIC)))
	addCertificates(n, view.Certificates)
}
