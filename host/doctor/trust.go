package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/signet-project/signet/host/trust"
)

// policies reads both trust policies.
func (e *examination) policies() {
	files := trust.FilePolicies{Dir: e.Dirs.Config}
	data, path, err := files.ReadOCI()
	if errors.Is(err, fs.ErrNotExist) {
		path = filepath.Join(e.Dirs.Config, trust.OCIPolicyFile) // not the older name
	}
	e.policy("policy import", "artifacts", path, err, func() ([]*trust.Statement, []trust.Warning, error) {
		policy, err := trust.ParseOCIPolicy(data)
		if err != nil {
			return nil, nil, err
		}
		return policy.Statements, policy.Warnings, nil
	})
	if err == nil && filepath.Base(path) == trust.LegacyPolicyFile {
		e.add(Policies, Warning, path, "the name of this file is deprecated", fmt.Sprintf("run: %s policy import %s", e.Program, quoted(path)))
	}
	data, path, err = files.ReadBlob()
	e.policy("blob policy import", "files", path, err, func() ([]*trust.Statement, []trust.Warning, error) {
		policy, err := trust.ParseBlobPolicy(data)
		if err != nil {
			return nil, nil, err
		}
		return policy.Statements, policy.Warnings, nil
	})
}

// policy judges one trust policy, which readErr kept from being read.
func (e *examination) policy(command, what, path string, readErr error, parse func() ([]*trust.Statement, []trust.Warning, error)) {
	remedy := fmt.Sprintf("correct the policy and run: %s %s <file>", e.Program, command)
	if errors.Is(readErr, fs.ErrNotExist) {
		e.add(Policies, Note, path, fmt.Sprintf("there is no trust policy for %s, so that none can be verified", what), fmt.Sprintf("to verify %s, run: %s %s <file>", what, e.Program, command))
		return
	}
	if readErr != nil {
		e.add(Policies, Broken, path, readErr.Error(), remedyFor(readErr, remedy))
		return
	}
	statements, warnings, err := parse()
	if err != nil {
		e.add(Policies, Broken, path, err.Error()+"; nothing can be verified with it", remedy)
		return
	}
	e.add(Policies, OK, path, fmt.Sprintf("statements for %s: %d", what, len(statements)), "")
	for _, warning := range warnings {
		severity, todo := Warning, remedy
		if warning.OtherHosts {
			severity, todo = Note, "use a host that knows these extensions wherever this policy has to be enforced"
		}
		e.add(Policies, severity, path, warning.Text, todo)
	}
	for _, statement := range statements {
		e.statements = append(e.statements, namedStatement{path, statement})
		e.statement(path, statement)
	}
}

// statement remarks on what a statement leaves unchecked.
func (e *examination) statement(path string, s *trust.Statement) {
	if s.Level.Skip() {
		e.add(Policies, Note, path, fmt.Sprintf("statement %q skips verification: what it applies to is accepted unchecked", s.Name), "make sure that this is meant")
		return
	}
	var logged []string
	for _, check := range []trust.Check{trust.CheckAuthenticity, trust.CheckAuthenticTimestamp, trust.CheckExpiry, trust.CheckRevocation} {
		if action := s.Level.Action(check); action != trust.ActionEnforce {
			logged = append(logged, fmt.Sprintf("%s (%s)", check, action))
		}
	}
	if len(logged) > 0 {
		e.add(Policies, Note, path, fmt.Sprintf("statement %q (%s) does not enforce: %s", s.Name, s.Level.Name, strings.Join(logged, ", ")), "make sure that this is meant")
	}
	if s.Identities.Any() {
		e.add(Policies, Note, path, fmt.Sprintf("statement %q trusts every identity that its stores vouch for", s.Name), "name the identities that may sign, where a store vouches for more than these")
	}
}

// stores reads all trust stores.
func (e *examination) stores(ctx context.Context) {
	root := e.Dirs.TrustStore()
	store := trust.NewDirStore(root, slog.New(&remarks{Handler: slog.DiscardHandler, take: func(r slog.Record) {
		subject, severity := root, Note
		r.Attrs(func(a slog.Attr) bool { subject = a.Value.String(); return true })
		if r.Level >= slog.LevelWarn {
			severity = Warning
		}
		e.add(Stores, severity, subject, r.Message, fmt.Sprintf("if it holds certificates to trust, add them: %s cert add", e.Program))
	}}))
	refs := e.strayStores(root)
	named := map[trust.StoreRef]string{}
	for _, statement := range e.statements {
		for _, ref := range statement.TrustStores {
			if named[ref] == "" {
				named[ref] = fmt.Sprintf("statement %q of %s", statement.Name, filepath.Base(statement.file))
			}
			if !slices.Contains(refs, ref) {
				refs = append(refs, ref)
			}
		}
	}
	for _, ref := range refs {
		e.store(ctx, store, ref, named[ref])
	}
	if len(refs) == 0 {
		e.add(Stores, Note, root, "there is no trust store", fmt.Sprintf("to verify, add the certificates to trust: %s cert add --type ca --store <name> <file>", e.Program))
	}
}

// strayStores lists the stores that are there, and remarks on what is none.
func (e *examination) strayStores(root string) []trust.StoreRef {
	var refs []trust.StoreRef
	kinds, err := os.ReadDir(filepath.Join(root, "x509"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.add(Stores, Broken, root, "the trust stores cannot be listed: "+reason(err).Error(), mayRead)
	}
	for _, kind := range kinds {
		path := filepath.Join(root, "x509", kind.Name())
		if !slices.Contains(trust.StoreTypes, trust.StoreType(kind.Name())) {
			e.add(Stores, Warning, path, "it is none of ca, signingAuthority and tsa, so that nothing in it is used", "move its stores to a directory of one of these names")
			continue
		}
		names, err := os.ReadDir(path)
		if err != nil {
			e.add(Stores, Broken, path, "the trust stores cannot be listed: "+reason(err).Error(), mayRead)
		}
		for _, name := range names {
			if name.IsDir() {
				refs = append(refs, trust.StoreRef{Type: trust.StoreType(kind.Name()), Name: name.Name()})
				continue
			}
			e.add(Stores, Warning, filepath.Join(path, name.Name()), "it is not in a named store, so that it is not used", fmt.Sprintf("add it to a store: %s cert add --type %s --store <name> <file>", e.Program, kind.Name()))
		}
	}
	return refs
}

// store judges one trust store; statement is the first that names it, or empty.
func (e *examination) store(ctx context.Context, store *trust.DirStore, ref trust.StoreRef, statement string) {
	add := fmt.Sprintf("%s cert add --type %s --store %s <file>", e.Program, ref.Type, ref.Name)
	certs, err := store.Certificates(ctx, ref)
	if missing, ok := errors.AsType[*trust.StoreError](err); ok {
		what := map[bool]string{true: "it does not exist", false: "it has no certificate"}[missing.Missing]
		if statement != "" {
			e.add(Stores, Broken, ref.String(), fmt.Sprintf("%s, and %s relies on it", what, statement), "add the certificates to trust: "+add)
			return
		}
		e.add(Stores, Warning, ref.String(), what, "add a certificate, or delete the directory "+store.Path(ref))
		return
	}
	if err != nil {
		e.add(Stores, Broken, ref.String(), err.Error()+"; the whole store counts for nothing", remedyFor(err, "replace or delete the file that is named"))
		return
	}
	if statement == "" {
		e.add(Stores, Note, ref.String(), "no trust policy names it, so that it grants nothing", "delete it unless a policy is to name it")
	}
	now := e.Now()
	good := 0
	for _, cert := range certs {
		subject := fmt.Sprintf("%s: %s", ref, shown(cert))
		renew := "get its successor from whoever issued it, and add that beside it: " + add
		switch {
		case now.After(cert.NotAfter):
			e.add(Stores, Warning, subject, fmt.Sprintf("it expired on %s: only signatures with a timestamp from before can pass", day(cert.NotAfter)), renew)
		case now.Before(cert.NotBefore):
			e.add(Stores, Warning, subject, fmt.Sprintf("it is not valid before %s", day(cert.NotBefore)), "check this machine's clock, and the certificate")
		case endsSoon(cert, now):
			e.add(Stores, Warning, subject, fmt.Sprintf("it expires on %s", day(cert.NotAfter)), renew)
		default:
			good++
		}
	}
	if good == len(certs) && statement != "" {
		e.add(Stores, OK, ref.String(), fmt.Sprintf("certificates: %d, the first to expire on %s", good, day(firstExpiry(certs))), "")
	}
}

// endsSoon tells whether it is time to think of a certificate's successor. Those
// made for a few days always end soon.
func endsSoon(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) < Soon && cert.NotAfter.Sub(cert.NotBefore) > Soon
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
