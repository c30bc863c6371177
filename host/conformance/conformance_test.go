package conformance_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/host/conformance"
	"github.com/signet-project/signet/internal/mutants"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/plugins/example"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session"
	"github.com/signet-project/signet/protocol/signer"
)

func TestMain(m *testing.M) {
	mutants.Become()
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == protocol.BinaryPrefix+"example" {
		session.Serve(example.New(os.Getenv))
	}
	os.Exit(m.Run())
}

// patience is how long calls may take on a busy machine.
const patience = 5 * time.Minute

// judge runs the kit.
func judge(t *testing.T, opts conformance.Options) *conformance.Report {
	t.Helper()
	if opts.Timeout == 0 {
		opts.Timeout, opts.Grace = patience, patience
	}
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	report, err := conformance.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// tell logs what did not pass.
func tell(t *testing.T, report *conformance.Report) {
	t.Helper()
	for _, r := range report.Results {
		if r.Verdict != conformance.Passed {
			t.Logf("%s %s: %s%s %q", r.Verdict, r.ID, r.Text, ": "+r.Reason, r.Failures)
		}
	}
}

// keys writes keys with the certificates that mutants use, and returns the ids.
func keys(t *testing.T) map[protocol.KeySpec]string {
	dir := t.TempDir()
	issuer := testpki.Root(t, "root").Intermediate(t, "intermediate")
	ids := map[protocol.KeySpec]string{}
	for _, spec := range []protocol.KeySpec{protocol.KeySpecEC256, protocol.KeySpecRSA2048} {
		leaf := issuer.Leaf(t, "leaf", spec)
		ids[spec], _ = leaf.WriteFiles(t, dir, string(spec))
		if spec != protocol.KeySpecEC256 {
			continue
		}
		yesterday := time.Now().Add(-24 * time.Hour)
		for file, entity := range map[string]*testpki.Entity{
			mutants.BadCertificates:     issuer.LeafFor(t, "bad", leaf.Cert.PublicKey, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }),
			mutants.ExpiredCertificates: issuer.LeafFor(t, "expired", leaf.Cert.PublicKey, testpki.Validity(yesterday.Add(-time.Hour), yesterday)),
			mutants.OtherCertificates:   issuer.Leaf(t, "other", protocol.KeySpecEC384),
		} {
			if err := os.WriteFile(filepath.Join(dir, file), entity.ChainPEM(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return ids
}

// TestConforming: the plugin that mutants are made of passes everything.
func TestConforming(t *testing.T) {
	t.Parallel()
	ids := keys(t)
	report := judge(t, conformance.Options{
		Path: testplugin.Link(t, t.TempDir(), mutants.Conforming),
		Keys: []string{ids[protocol.KeySpecEC256], ids[protocol.KeySpecRSA2048]},
	})
	if count := len(report.Results); report.Count(conformance.Must, conformance.Passed)+report.Count(conformance.Should, conformance.Passed) != count {
		tell(t, report)
		t.Errorf("not all of %d clauses passed", count)
	}
	t.Logf("%d clauses passed in %v, %d invocations", len(report.Results), report.Took.Round(time.Millisecond), report.Invocations)
}

// TestSeveralKeys: a clause that fails with one key is judged with the others, one that
// could not be judged with a key does not pass on account of the others, and each key
// that fails is named.
func TestSeveralKeys(t *testing.T) {
	t.Parallel()
	ids := keys(t)
	ec, rsa := ids[protocol.KeySpecEC256], ids[protocol.KeySpecRSA2048]
	results := func(t *testing.T, mutant string) map[string]conformance.Result {
		report := judge(t, conformance.Options{Path: testplugin.Link(t, t.TempDir(), mutant), Keys: []string{ec, rsa}})
		if want := []conformance.Key{{ID: ec, Spec: protocol.KeySpecEC256}, {ID: rsa, Spec: protocol.KeySpecRSA2048}}; !slices.Equal(report.Keys, want) {
			t.Errorf("keys %v", report.Keys)
		}
		if len(report.Advice) != 2 || !strings.Contains(report.Advice[0], "No key of RSA-3072, RSA-4096, EC-384, EC-521 was given") || !strings.Contains(report.Advice[1], "one self-signed certificate") {
			t.Errorf("advice %q", report.Advice)
		}
		all := map[string]conformance.Result{}
		for _, r := range report.Results {
			all[r.ID] = r
		}
		return all
	}
	t.Run("PLG-25 one fails", func(t *testing.T) {
		t.Parallel()
		all := results(t, "mutant-sign.form-der")
		if form := all["sign.form"]; form.Verdict != conformance.Failed || !slices.Equal(form.Keys, []string{ec, rsa}) || len(form.Failures) != 1 || form.Failures[0].Key != ec {
			t.Errorf("%+v", form)
		}
		if verifies := all["sign.verifies"]; verifies.Verdict != conformance.NotRun || verifies.Reason != fmt.Sprintf("key %q: sign.form does not hold", ec) || !slices.Equal(verifies.Keys, []string{rsa}) {
			t.Errorf("%+v", verifies)
		}
		if salt := all["sign.salt"]; salt.Verdict != conformance.Passed || !slices.Equal(salt.Keys, []string{rsa}) {
			t.Errorf("%+v", salt)
		}
		if mismatch := all["sign.hash"]; mismatch.Verdict != conformance.Passed || !slices.Equal(mismatch.Keys, []string{ec, rsa}) {
			t.Errorf("%+v", mismatch)
		}
	})
	t.Run("PLG-25 both fail", func(t *testing.T) {
		t.Parallel()
		failures := results(t, "mutant-sign.key-id-other")["sign.key-id"].Failures
		if len(failures) != 2 || failures[0].Key != ec || failures[1].Key != rsa {
			t.Errorf("%+v", failures)
		}
	})
}

// TestWrongFormEverywhere: the right errors in the wrong form are held against one
// clause, and the others say so.
func TestWrongFormEverywhere(t *testing.T) {
	t.Parallel()
	ids := keys(t)
	for mutant, clause := range map[string]string{"mutant-call.status-two-always": "call.status", "mutant-error.json-prefix": "error.json"} {
		t.Run("PLG-10 "+clause, func(t *testing.T) {
			t.Parallel()
			report := judge(t, conformance.Options{Path: testplugin.Link(t, t.TempDir(), mutant), Keys: []string{ids[protocol.KeySpecEC256]}})
			for _, r := range report.Results {
				switch r.ID {
				case "versions.major", "versions.absent", "versions.first", "request.empty", "request.members", "request.nesting", "key.unknown", "command.error", "sign.key-spec":
					if r.Verdict != conformance.NotRun || r.Reason != "a call that it takes breaks "+clause {
						t.Errorf("%s: %s, %s", r.ID, r.Verdict, r.Reason)
					}
				case "sign.salt":
					if r.Verdict != conformance.NotApplicable {
						t.Errorf("%s: %s", r.ID, r.Verdict)
					}
				}
			}
			if report.Complete() {
				t.Error("complete")
			}
		})
	}
}

// TestMutants: each mutant fails its own clause and no other.
func TestMutants(t *testing.T) {
	t.Parallel()
	ids := keys(t)
	dir := t.TempDir()
	all := mutants.All()
	caught := map[string]bool{}
	for _, m := range all {
		caught[m.Clause] = true
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			opts := conformance.Options{Path: testplugin.Link(t, dir, m.Name), Keys: []string{ids[m.Key]}}
			switch m.Clause {
			case "call.time":
				opts.Timeout = 15 * time.Second // more than a good call takes on a busy machine
			case "process.terminate", "session.ends":
				opts.Timeout, opts.Grace = patience, time.Second
			}
			wantOnly(t, judge(t, opts), m.Clause)
		})
	}
	for file, clause := range fileMutants(t, dir) {
		caught[clause] = true
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			wantOnly(t, judge(t, conformance.Options{Path: file, Keys: []string{ids[protocol.KeySpecEC256]}}), clause)
		})
	}
	for _, c := range conformance.Clauses() {
		if !caught[c.ID] && runtime.GOOS != "windows" {
			t.Errorf("no mutant breaks %s", c.ID)
		}
	}
	t.Logf("%d mutants for %d clauses", len(all)+2, len(caught))
}

// TestExample: the example plugin conforms, and every clause that it has something
// for is judged.
func TestExample(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	denied := filepath.Join(dir, "denied")
	if err := os.WriteFile(denied, []byte("00AB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ids, config := keysFor(t, dir)
	config[example.ConfigDenyList] = denied
	wantConforming(t, judge(t, conformance.Options{Path: testplugin.Link(t, dir, "example"), Keys: ids, Config: config}),
		"verify.reason") // nothing is on the list
}

// TestScripts: so do the examples in other languages, with a chain of one certificate,
// too, so that nothing is left to advise.
func TestScripts(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		return // a script is no executable there
	}
	for _, c := range []struct{ name, path, interpreter, option, self string }{
		{"Python", "example-python/notation-pyexample", "python3", "-c", "import sys; print(sys.executable)"},
		{"JavaScript", "example-js/notation-jsexample", "node", "-p", "process.execPath"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// The interpreter itself comes first on PATH: what stands for it may need more of
			// an environment than get-plugin-metadata gets.
			interpreter, err := exec.CommandContext(t.Context(), c.interpreter, c.option, c.self).Output()
			if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
				t.Skipf("NOT TESTED: %s is not installed, so nobody knows whether %s conforms", c.interpreter, c.path)
			}
			if err != nil {
				t.Fatalf("%s is needed: %v", c.interpreter, err)
			}
			environ := append(os.Environ(), "PATH="+filepath.Dir(string(interpreter))+string(os.PathListSeparator)+os.Getenv("PATH"))
			path := filepath.Join("..", "..", "plugins", filepath.FromSlash(c.path))
			dir := t.TempDir()
			ids, config := keysFor(t, dir)
			alone := testpki.SelfSigned(t, "alone", protocol.KeySpecEC256)
			id, _ := alone.WriteFiles(t, dir, "alone")
			ids = append(ids, id)
			if c.interpreter == "python3" {
				config = nil // it finds certificates beside the key
			} else {
				appendTo(t, config[signer.ConfigCertificateChain], alone.CertPEM())
			}
			report := judge(t, conformance.Options{Path: path, Keys: ids, Config: config, Environ: environ})
			wantConforming(t, report)
			if !report.Complete() || len(report.Advice) > 0 || len(report.Keys) != len(ids) {
				t.Errorf("complete: %v, advice %q, keys %v", report.Complete(), report.Advice, report.Keys)
			}
		})
	}
}

// keysFor writes a key of each spec and a file with the certificates of them all.
func keysFor(t *testing.T, dir string) (ids []string, config map[string]string) {
	t.Helper()
	root := testpki.Root(t, "root")
	var all []byte
	for _, spec := range testpki.Specs {
		leaf := root.Leaf(t, string(spec), spec)
		id, _ := leaf.WriteFiles(t, dir, string(spec))
		ids, all = append(ids, id), append(all, leaf.CertPEM()...)
	}
	path := filepath.Join(dir, "all.pem")
	if err := os.WriteFile(path, append(all, root.CertPEM()...), 0o600); err != nil {
		t.Fatal(err)
	}
	return ids, map[string]string{signer.ConfigCertificateChain: path}
}

func appendTo(t *testing.T, path string, text []byte) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(before, text...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantConforming wants a plugin to break nothing, and to have every clause judged
// but those named.
func wantConforming(t *testing.T, report *conformance.Report, unjudged ...string) {
	t.Helper()
	for _, r := range report.Results {
		if r.Verdict == conformance.Failed || r.Verdict == conformance.NotRun && !slices.Contains(unjudged, r.ID) {
			tell(t, report)
			t.Fatalf("%s: %s", r.ID, r.Verdict)
		}
	}
}

// fileMutants are plugins whose fault is in their file.
func fileMutants(t *testing.T, dir string) map[string]string {
	t.Helper()
	whole := testplugin.Link(t, t.TempDir(), mutants.Conforming)
	misnamed := filepath.Join(dir, "plugin-"+mutants.Conforming+filepath.Ext(whole))
	if err := os.Rename(whole, misnamed); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{misnamed: "file.name"}
	if runtime.GOOS != "windows" {
		link := filepath.Join(dir, protocol.BinaryPrefix+mutants.Conforming)
		if err := os.Symlink(misnamed, link); err != nil {
			t.Fatal(err)
		}
		files[link] = "file.executable"
	}
	return files
}

func wantOnly(t *testing.T, report *conformance.Report, clause string) {
	t.Helper()
	failed := report.Failed()
	if !slices.Equal(failed, []string{clause}) {
		tell(t, report)
		t.Errorf("failed: %v, want %s alone", failed, clause)
	}
	for _, result := range report.Results {
		if result.ID != clause {
			continue
		}
		if len(result.Failures) != 1 || result.Failures[0].Expected == "" || result.Failures[0].Seen == "" {
			t.Errorf("failures %q", result.Failures)
		}
		if report.Conforms() != (result.Level == conformance.Should) {
			t.Errorf("conforms: %v", report.Conforms())
		}
	}
}
