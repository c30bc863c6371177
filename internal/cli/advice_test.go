package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/plugin"
)

func TestAdvice(t *testing.T) {
	t.Parallel()
	a := newApp(Env{Args: []string{"notation"}, Environ: []string{"NOTATION_CONFIG=/cfg"}})
	registry := func(status int, err error) error {
		return fmt.Errorf("x: %w", &artifact.RegistryError{Registry: "r.example", Op: "resolve", Status: status, Err: err})
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"GEN-12 all failed":       {&rejected{&host.AllFailedError{}}, "Do not use it. Option --verbose shows every check"},
		"CLI-49 not logged in":    {registry(http.StatusUnauthorized, nil), "run: notation login r.example"},
		"CLI-49 not there":        {registry(http.StatusNotFound, artifact.ErrNotFound), "Check the repository and the tag or digest"},
		"CLI-49 limited":          {registry(http.StatusTooManyRequests, nil), "limits requests: try again later"},
		"CLI-49 broken":           {registry(http.StatusBadGateway, nil), "The fault is the registry's"},
		"CLI-49 forbidden":        {registry(http.StatusForbidden, nil), ""},
		"CLI-49 unknown CA":       {registry(0, x509.UnknownAuthorityError{}), "name it with --ca-file, or as caFile in /cfg/config.json"},
		"CLI-49 no TLS":           {registry(0, http.ErrSchemeMismatch), "does not speak TLS"},
		"CLI-49 not reached":      {registry(0, &net.OpError{Op: "dial", Err: errors.New("refused")}), "notation doctor r.example"},
		"CLI-49 helper":           {registry(0, &artifact.CredentialError{Registry: "r.example", Err: errors.New("x")}), "Mend credsStore and credHelpers"},
		"CLI-49 layout":           {&artifact.LayoutError{Path: "x", Err: artifact.ErrNotFound}, "a file called oci-layout"},
		"CLI-49 key not found":    {&config.KeyNotFoundError{Name: "a"}, "run: notation key list"},
		"CLI-49 key exists":       {&config.KeyExistsError{Name: "a"}, "notation key delete a"},
		"CLI-49 malformed keys":   {&config.MalformedKeysError{Err: errors.New("x")}, "Mend the file; it is in /cfg"},
		"CLI-49 no default key":   {config.ErrNoDefaultKey, "notation key add --default"},
		"PLG-69 downgrade":        {&plugin.InstallError{Err: &plugin.DowngradeError{}}, `To force the installation, use the "--force" option`},
		"CLI-49 no version":       {&host.PluginVersionError{}, "Name it by --plugin-version"},
		"TSA-18 whole envelopes":  {&host.PluginSignError{Plugin: "x", Err: host.ErrPluginTimestamps}, "Leave out --timestamp-url"},
		"CLI-49 something else":   {fs.ErrNotExist, ""},
		"CLI-49 wrong flag value": {checkOutput("x", "tree", "json"), "Formats are: tree, json"},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.advice(c.err)
			if !strings.Contains(got, c.want) || (c.want == "") != (got == "") || strings.Contains(got, "\n") {
				t.Errorf("advice %q, not %q", got, c.want)
			}
			for _, loose := range []string{"policy", "skip", "audit", "permissive", "identit"} { // GEN-12
				if strings.Contains(got, loose) {
					t.Errorf("advice %q loosens what is trusted", got)
				}
			}
		})
	}
}

func TestRejection(t *testing.T) {
	t.Parallel()
	looked := &host.Outcome{Signatures: []*host.SignatureOutcome{{}}}
	for _, c := range []struct {
		outcome *host.Outcome
		err     error
		want    bool
	}{
		{looked, &host.AllFailedError{}, true},
		{looked, errors.New("integrity"), true},
		{&host.Outcome{}, &host.NoSignatureError{}, true},
		{&host.Outcome{}, artifact.ErrNotFound, false},
		{looked, &artifact.RegistryError{Err: errors.New("x")}, false},
		{nil, errors.New("no policy"), false},
	} {
		if isRejection(c.outcome, c.err) != c.want {
			t.Errorf("GEN-12 %v with %+v", c.err, c.outcome)
		}
	}
}
