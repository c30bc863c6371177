package cli

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
)

// scriptCommands are what scripts can do besides running programs. None takes
// the prefix "!".
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	// pki NAME [SPEC] [expired]: NAME.key, NAME.crt (leaf to root), NAME-root.crt
	"pki": plain(scriptPKI),
	// world: a key called acme, the default; its root in the store ca:acme; a
	// strict policy for any scope; layout:v1 with the digest $DIGEST.
	"world": plain(scriptWorld),
	// layout DIR [TEXT]: an OCI layout with one artifact, tagged v1; sets DIGEST.
	"layout": plain(scriptLayout),
	// localkey NAME: adds NAME.key and NAME.crt to the key list, as the default.
	"localkey": plain(scriptLocalKey),
	// plugin NAME SCRIPT: installs a test plugin that does what the JSON file says.
	"plugin": plain(scriptPlugin),
	// buildplugin DIR NAME SCRIPT: writes one that can be packaged.
	"buildplugin": plain(scriptBuildPlugin),
	// archive FILE ENTRY...: see addEntry.
	"archive": plain(scriptArchive),
	// snapshot DIR..., unchanged: the files of directories are what they were.
	"snapshot": plain(scriptSnapshot), "unchanged": plain(scriptUnchanged),
	// expand FILE...: replaces $NAME in files.
	"expand": plain(scriptExpand),
	// mode FILE MODE: the file's permissions (not on Windows).
	"mode": plain(scriptMode),
	// flip FILE OFFSET: inverts a byte; from the end when negative.
	"flip": plain(scriptFlip),
	// capture NAME TEXT FILE: sets NAME to the word after the text in the file.
	"capture": plain(scriptCapture),
	// registry [noreferrers] [basic] [token]: starts a registry with the artifact
	// team/app:v1; sets REGISTRY, REGISTRY_IP and DIGEST.
	"registry": plain(scriptRegistry),
	// requests: prints the registry's requests since the last time.
	"requests": plain(scriptRequests),
	// forge LAYOUT|REGISTRY [NAME=VALUE]...: see scriptForge.
	"forge": plain(scriptForge),
	// lines FILE N: the file has N lines.
	"lines": plain(scriptLines),
	// testcert FILE: the certificate is what generate-test makes.
	"testcert": plain(scriptTestCert),
}

// plain makes a command of a function that returns an error.
func plain(do func(*testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command does not take !")
		}
		ts.Check(do(ts, args))
	}
}

// scriptTB lets helpers for tests work in a script.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (tb scriptTB) Helper()           {}
func (tb scriptTB) Fatal(args ...any) { tb.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (tb scriptTB) Fatalf(format string, args ...any) {
	tb.ts.Fatalf(format, args...)
}

func scriptPKI(ts *testscript.TestScript, args []string) error {
	tb, name, spec := scriptTB{ts: ts}, args[0], protocol.KeySpecEC256
	var edits []testpki.Edit
	for _, arg := range args[1:] {
		switch arg {
		case "expired":
			edits = append(edits, testpki.Validity(time.Now().Add(-72*time.Hour), time.Now().Add(-time.Hour)))
		default:
			spec = protocol.KeySpec(arg)
		}
	}
	root := testpki.Root(tb, name+" root", testpki.Validity(time.Now().Add(-96*time.Hour), time.Now().Add(96*time.Hour)))
	leaf := root.Leaf(tb, name, spec, edits...)
	leaf.WriteFiles(tb, ts.MkAbs("."), name)
	return os.WriteFile(ts.MkAbs(name+"-root.crt"), root.CertPEM(), 0o600)
}

const worldPolicy = `{"version":"1.0","trustPolicies":[{"name":"all","registryScopes":["*"],
"signatureVerification":{"level":"strict"},"trustStores":["ca:acme"],"trustedIdentities":["*"]}]}`

func scriptWorld(ts *testscript.TestScript, _ []string) error {
	for _, step := range []error{
		scriptPKI(ts, []string{"acme"}), scriptLocalKey(ts, []string{"acme"}), scriptLayout(ts, []string{"layout"}),
		trust.NewDirStore(filepath.Join(ts.Getenv("CFG"), "truststore"), nil).Add(trust.StoreRef{Type: trust.StoreCA, Name: "acme"}, ts.MkAbs("acme-root.crt")),
		os.WriteFile(filepath.Join(ts.Getenv("CFG"), trust.OCIPolicyFile), []byte(worldPolicy), 0o600),
	} {
		if step != nil {
			return step
		}
	}
	return nil
}

func scriptLocalKey(ts *testscript.TestScript, args []string) error {
	key := config.Key{Name: args[0], KeyPath: ts.MkAbs(args[0] + ".key"), CertPath: ts.MkAbs(args[0] + ".crt")}
	return config.NewSigningKeys(ts.Getenv("CFG")).Add(key, true)
}

// content is a manifest or blob with its descriptor.
type content struct {
	desc ocispec.Descriptor
	data []byte
}

// newArtifact makes a manifest with one layer; its annotations are no business
// of signatures.
func newArtifact(text string) (manifest content, blobs []content) {
	describe := func(mediaType string, data []byte) content {
		return content{ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}, data}
	}
	blobs = []content{describe(ocispec.MediaTypeEmptyJSON, []byte("{}")), describe("text/plain", []byte(text))}
	data, _ := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example",
		Config: blobs[0].desc, Layers: []ocispec.Descriptor{blobs[1].desc}, Annotations: map[string]string{"note": "not signed"},
	})
	return describe(ocispec.MediaTypeImageManifest, data), blobs
}

func scriptLayout(ts *testscript.TestScript, args []string) error {
	dir := ts.MkAbs(args[0])
	manifest, blobs := newArtifact(strings.Join(args[1:], " ") + "\n")
	ts.Setenv("DIGEST", manifest.desc.Digest.String())
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	tagged := manifest.desc
	tagged.Annotations = map[string]string{ocispec.AnnotationRefName: "v1"}
	index, _ := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{tagged}})
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index}
	for _, c := range append(blobs, manifest) {
		files["blobs/sha256/"+c.desc.Digest.Encoded()] = c.data
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func readPluginScript(ts *testscript.TestScript, file string) (script testplugin.Script, err error) {
	err = json.Unmarshal([]byte(os.Expand(ts.ReadFile(file), ts.Getenv)), &script)
	return script, err
}

func scriptPlugin(ts *testscript.TestScript, args []string) error {
	script, err := readPluginScript(ts, args[1])
	if err == nil {
		err = os.MkdirAll(ts.Getenv("CFG"), 0o700)
	}
	if err == nil {
		testplugin.Install(scriptTB{ts: ts}, filepath.Join(ts.Getenv("CFG"), "plugins"), args[0], script)
	}
	return err
}

func scriptBuildPlugin(ts *testscript.TestScript, args []string) error {
	script, err := readPluginScript(ts, args[2])
	if err == nil {
		err = os.MkdirAll(ts.MkAbs(args[0]), 0o755)
	}
	if err == nil {
		testplugin.Build(scriptTB{ts: ts}, ts.MkAbs(args[0]), args[1], script)
	}
	return err
}

// scriptArchive writes a .zip or a .tar.gz, by the name of the file. An entry is
// NAME=FILE, NAME:MODE=FILE or NAME->TARGET.
func scriptArchive(ts *testscript.TestScript, args []string) error {
	var out bytes.Buffer
	add, finish := tarWriter(&out)
	if strings.HasSuffix(args[0], ".zip") {
		add, finish = zipWriter(&out)
	}
	for _, entry := range args[1:] {
		if name, target, isLink := strings.Cut(entry, "->"); isLink {
			if err := add(name, fs.ModeSymlink|0o777, []byte(target)); err != nil {
				return err
			}
			continue
		}
		name, file, _ := strings.Cut(entry, "=")
		name, modeText, hasMode := strings.Cut(name, ":")
		mode := fs.FileMode(0o755)
		if hasMode {
			if _, err := fmt.Sscanf(modeText, "%o", &mode); err != nil {
				return err
			}
		}
		data, err := os.ReadFile(ts.MkAbs(file))
		if err != nil {
			return err
		}
		if err := add(name, mode, data); err != nil {
			return err
		}
	}
	if err := finish(); err != nil {
		return err
	}
	return os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o644)
}

type addEntry func(name string, mode fs.FileMode, data []byte) error

func tarWriter(out *bytes.Buffer) (addEntry, func() error) {
	compressed, _ := gzip.NewWriterLevel(out, gzip.BestSpeed)
	w := tar.NewWriter(compressed)
	add := func(name string, mode fs.FileMode, data []byte) error {
		header := &tar.Header{Name: name, Mode: int64(mode.Perm()), Size: int64(len(data)), Typeflag: tar.TypeReg}
		if mode&fs.ModeSymlink != 0 {
			header.Typeflag, header.Linkname, header.Size, data = tar.TypeSymlink, string(data), 0, nil
		}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	return add, func() error { w.Close(); return compressed.Close() }
}

func zipWriter(out *bytes.Buffer) (addEntry, func() error) {
	w := zip.NewWriter(out)
	add := func(name string, mode fs.FileMode, data []byte) error {
		header := &zip.FileHeader{Name: name}
		header.SetMode(mode)
		entry, err := w.CreateHeader(header)
		if err == nil {
			_, err = entry.Write(data)
		}
		return err
	}
	return add, w.Close
}

// listing is what a directory holds: names, modes, contents.
func listing(dir string) (string, error) {
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".lock") {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s %v", path, info.Mode())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&out, " %x", sha256.Sum256(data))
		}
		out.WriteByte('\n')
		return nil
	})
	return out.String(), err
}

func scriptSnapshot(ts *testscript.TestScript, args []string) error {
	shots := ts.Value(snapshots{}).(map[string]string)
	clear(shots)
	for _, dir := range args {
		shot, err := listing(ts.MkAbs(dir))
		if err != nil {
			return err
		}
		shots[ts.MkAbs(dir)] = shot
	}
	return nil
}

// snapshots is the key of a script's snapshots.
type snapshots struct{}

func scriptUnchanged(ts *testscript.TestScript, _ []string) error {
	for dir, before := range ts.Value(snapshots{}).(map[string]string) {
		now, err := listing(dir)
		if err != nil {
			return err
		}
		if now != before {
			return fmt.Errorf("%s changed from\n%sto\n%s", dir, before, now)
		}
	}
	return nil
}

func scriptExpand(ts *testscript.TestScript, args []string) error {
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		if err := os.WriteFile(ts.MkAbs(file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func scriptMode(ts *testscript.TestScript, args []string) error {
	info, err := os.Lstat(ts.MkAbs(args[0]))
	if err != nil || os.PathSeparator == '\\' {
		return err
	}
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		return fmt.Errorf("%s has mode %s, not %s", args[0], got, args[1])
	}
	return nil
}

func scriptFlip(ts *testscript.TestScript, args []string) error {
	var offset int
	if _, err := fmt.Sscan(args[1], &offset); err != nil {
		return err
	}
	data := []byte(ts.ReadFile(args[0]))
	if offset < 0 {
		offset += len(data)
	}
	data[offset] ^= 0xff
	return os.WriteFile(ts.MkAbs(args[0]), data, 0o644)
}

func scriptLines(ts *testscript.TestScript, args []string) error {
	got := strings.Count(ts.ReadFile(args[0]), "\n")
	if fmt.Sprint(got) != args[1] {
		return fmt.Errorf("%s has %d lines, not %s", args[0], got, args[1])
	}
	return nil
}

func scriptCapture(ts *testscript.TestScript, args []string) error {
	name, before, file := args[0], args[1], args[2]
	_, after, found := strings.Cut(ts.ReadFile(file), before)
	if !found {
		return fmt.Errorf("%s has no %q", file, before)
	}
	ts.Setenv(name, strings.FieldsFunc(after, func(r rune) bool { return strings.ContainsRune(" \n\",", r) })[0])
	return nil
}

func scriptTestCert(ts *testscript.TestScript, args []string) error {
	block, rest := pem.Decode([]byte(ts.ReadFile(args[0])))
	if block == nil || len(rest) != 0 {
		return errors.New("not one PEM block")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	key, _ := cert.PublicKey.(*rsa.PublicKey)
	critical := map[string]bool{}
	for _, extension := range cert.Extensions {
		critical[extension.Id.String()] = extension.Critical
	}
	_, basicConstraints := critical["2.5.29.19"]
	switch {
	case key == nil || key.N.BitLen() != 2048 || cert.SignatureAlgorithm != x509.SHA256WithRSA:
		return fmt.Errorf("key %T, signature %v", cert.PublicKey, cert.SignatureAlgorithm)
	case cert.KeyUsage != x509.KeyUsageDigitalSignature || !critical["2.5.29.15"]:
		return fmt.Errorf("key usage %b, critical %v", cert.KeyUsage, critical["2.5.29.15"])
	case !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}) || basicConstraints:
		return fmt.Errorf("extended key usage %v, basic constraints %v", cert.ExtKeyUsage, basicConstraints)
	case cert.NotAfter.Sub(cert.NotBefore) != 24*time.Hour || !bytes.Equal(cert.RawIssuer, cert.RawSubject):
		return fmt.Errorf("from %v to %v, issued by %v", cert.NotBefore, cert.NotAfter, cert.Issuer)
	}
	return cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
}
