package cli

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
)

// scriptCommands are what scripts can do besides running programs. None takes
// the prefix "!".
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	// pki NAME [SPEC] [OPTION]: NAME.key, NAME.crt (leaf to root), NAME-root.crt;
	// sets LEAF and ROOT to the fingerprints. Options: a leaf that is "expired"; of
	// a "fixed" validity; with a CRL that nobody serves ("unreachable"), or that
	// says it is "revoked" or "good"; with an OCSP responder ("ocsp"). CRL and OCSP
	// are the URLs of these; at=HOST says they are at another host.
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
	// flipenvelope LAYOUT, flipartifact LAYOUT: change a byte of the last forged
	// signature, or of the artifact v1.
	"flipenvelope": plain(scriptFlipEnvelope), "flipartifact": plain(scriptFlipArtifact),
	// capture NAME TEXT FILE: sets NAME to the word after the text in the file.
	"capture": plain(scriptCapture),
	// registry [OPTION]...: starts a registry with the artifact team/app:v1; sets
	// REGISTRY, REGISTRY_IP and DIGEST. Options are the switches of testRegistry, and
	// "redirect", which keeps blobs at another address.
	"registry": plain(scriptRegistry),
	// proxy NAME=URL...: starts a proxy that knows the way to servers by names that
	// nobody else knows; sets PROXY. proxied: prints what it was asked for since the last time.
	"proxy": plain(scriptProxy), "proxied": plain(scriptProxied),
	// requests: prints the registry's requests since the last time.
	"requests": plain(scriptRequests),
	// fleet N FILE: adds N artifacts to the registry, tagged f0, f1, …, and lists
	// their references by digest in the file; sets F0, F1, … to these.
	"fleet": plain(scriptFleet),
	// index TAG MEMBER...: adds an index of tagged manifests, or of those with a
	// digest, to the registry; sets INDEX.
	"index": plain(scriptIndex),
	// append FILE MORE...: puts other files at the end of a file.
	"append": plain(scriptAppend),
	// covers RESULTS LIST: the lines of a results file and those of a list have the
	// same references.
	"covers": plain(scriptCovers),
	// conforms SCHEMA FILE: each line of the file is JSON by the schema.
	"conforms": plain(scriptConforms),
	// copytolayout DIR: copies the registry's artifact with its signatures.
	"copytolayout": plain(scriptCopyToLayout),
	// bigfile FILE SIZE: a file with that many zeros.
	"bigfile": plain(scriptBigFile),
	// forge LAYOUT KEY [NAME=VALUE]...: see scriptForge.
	"forge": plain(scriptForge),
	// lines FILE N: the file has N lines.
	"lines": plain(scriptLines),
	// pushjunk LAYOUT KEY: a signature of the artifact v1 that is no envelope.
	"pushjunk": plain(scriptPushJunk),
	// manifest LAYOUT: prints the newest signature manifest.
	"manifest": plain(scriptManifest),
	// calls: prints what test plugins that record in "calls" were asked.
	"calls": plain(scriptCalls),
	// cutfile FILE SIZE: the file ends there.
	"cutfile": plain(scriptCutFile),
	// kinds LAYOUT: a layout with the tags index, docker, list and helm.
	"kinds": plain(scriptKinds),
	// webserver: serves the files of the script by TLS, at $WEB; web-ca.pem.
	"webserver": plain(scriptWebServer),
	// tsa NAME [tls]: starts a timestamp authority; NAME-root.crt; sets TSA. By TLS it
	// is below the authority in tls-ca.pem.
	"tsa": plain(scriptTSA),
	// jsonlog FILE: its lines are JSON objects, but for warnings.
	"jsonlog": plain(scriptJSONLog),
	// schema NAME FILE: the file is one JSON document by spec/schemas/NAME.json.
	"schema": plain(scriptSchema),
	// platformdigest LAYOUT INDEX, packagedigest LAYOUT MANIFEST: set DIGEST to that of
	// a plugin artifact's manifest for this platform, or of the package in it.
	"platformdigest": plain(scriptPlatformDigest), "packagedigest": plain(scriptPackageDigest),
	// checksum FILE: sets SHA256.
	"checksum": plain(scriptChecksum),
	// chomp FILE: takes the line feed from its end.
	"chomp": plain(scriptChomp),
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
	var leaf *testpki.Entity
	elsewhere := func(url string) string { return url }
	for _, arg := range args[1:] {
		if host, ok := strings.CutPrefix(arg, "at="); ok {
			elsewhere = func(address string) string {
				u, _ := url.Parse(address)
				u.Host = host
				return u.String()
			}
			continue
		}
		switch arg {
		case "expired":
			edits = append(edits, testpki.Validity(time.Now().Add(-72*time.Hour), time.Now().Add(-time.Hour)))
		case "fixed":
			edits = append(edits, testpki.Validity(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC)))
		case "unreachable":
			edits = append(edits, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://127.0.0.1:1/crl"} })
		case "revoked", "good":
			serve, url := serveCRL(ts)
			ts.Setenv("CRL", url)
			edits = append(edits, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{elsewhere(url)} })
			defer func() { serve(leaf, arg == "revoked") }()
		case "ocsp":
			url := serveOCSP(ts, func() *testpki.Entity { return leaf.Issuer })
			ts.Setenv("OCSP", url)
			edits = append(edits, func(c *x509.Certificate) { c.OCSPServer = []string{elsewhere(url)} })
		default:
			spec = protocol.KeySpec(arg)
		}
	}
	rootLife := testpki.Validity(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2045, 1, 1, 0, 0, 0, 0, time.UTC))
	root := testpki.Root(tb, name+" root", rootLife)
	leaf = root.Leaf(tb, name, spec, edits...)
	ts.Setenv("LEAF", pki.Fingerprint(leaf.Cert))
	ts.Setenv("ROOT", pki.Fingerprint(root.Cert))
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
	return config.NewSigningKeys(ts.Getenv("CFG")).Add(context.Background(), key, true)
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
	manifest, err := makeLayout(ts.MkAbs(args[0]), strings.Join(args[1:], " ")+"\n")
	ts.Setenv("DIGEST", manifest)
	return err
}

// makeLayout makes an OCI layout with one artifact, tagged v1, and returns its digest.
func makeLayout(dir, text string) (string, error) {
	manifest, blobs := newArtifact(text)
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return "", err
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
			return "", err
		}
	}
	return manifest.desc.Digest.String(), nil
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
		switch {
		case info.Size() > 1<<20: // a program
			fmt.Fprintf(&out, " %d %v", info.Size(), info.ModTime())
		case info.Mode().IsRegular():
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
			return fmt.Errorf("%s changed:%s", dir, difference(before, now))
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

func scriptFlipEnvelope(ts *testscript.TestScript, args []string) error {
	return flipEnvelope(ts.MkAbs(args[0]), ts.Getenv("FORGED"))
}

// flipEnvelope changes a letter of the envelope of a signature in a layout.
func flipEnvelope(layout, digest string) error {
	manifest, err := os.ReadFile(layoutBlob(layout, digest))
	if err != nil {
		return err
	}
	var signature ocispec.Manifest
	if err := json.Unmarshal(manifest, &signature); err != nil {
		return err
	}
	return flip(layoutBlob(layout, signature.Layers[0].Digest.String()))
}

func scriptFlipArtifact(ts *testscript.TestScript, args []string) error {
	return flip(blobPath(ts, args[0], ts.Getenv("DIGEST")))
}

func blobPath(ts *testscript.TestScript, layout, digest string) string {
	return layoutBlob(ts.MkAbs(layout), digest)
}

func layoutBlob(layout, digest string) string {
	return filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

func readBlob(ts *testscript.TestScript, layout, digest string) ([]byte, error) {
	return os.ReadFile(blobPath(ts, layout, digest))
}

// flip changes a letter in the middle of a file.
func flip(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return os.WriteFile(path, data, 0o644)
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

// difference lists the lines that only one of two texts has.
func difference(before, after string) string {
	var out strings.Builder
	for _, side := range [][3]string{{"-", before, after}, {"+", after, before}} {
		for line := range strings.Lines(side[1]) {
			if !strings.Contains(side[2], line) {
				out.WriteString("\n" + side[0] + strings.TrimSpace(line))
			}
		}
	}
	return out.String()
}

func scriptManifest(ts *testscript.TestScript, args []string) error {
	var index ocispec.Index
	if err := json.Unmarshal([]byte(ts.ReadFile(filepath.Join(args[0], "index.json"))), &index); err != nil {
		return err
	}
	data, err := readBlob(ts, args[0], index.Manifests[len(index.Manifests)-1].Digest.String())
	if err == nil {
		_, err = ts.Stdout().Write(data)
	}
	return err
}

func scriptCalls(ts *testscript.TestScript, _ []string) error {
	for _, call := range testplugin.Records(scriptTB{ts: ts}, ts.MkAbs("calls")) {
		var request struct {
			ContractVersion string
			PluginConfig    map[string]string
		}
		if err := json.Unmarshal(call.Request, &request); err != nil {
			return err
		}
		fmt.Fprintln(ts.Stdout(), call.Command, request.ContractVersion, request.PluginConfig)
	}
	return nil
}

func scriptCutFile(ts *testscript.TestScript, args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	return os.Truncate(ts.MkAbs(args[0]), size)
}

func scriptBigFile(ts *testscript.TestScript, args []string) error {
	if err := os.WriteFile(ts.MkAbs(args[0]), nil, 0o600); err != nil {
		return err
	}
	return scriptCutFile(ts, args)
}

func scriptCopyToLayout(ts *testscript.TestScript, args []string) error {
	r := ts.Value(registryKey{}).(*registryBox).registry
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := makeLayout(ts.MkAbs(args[0]), ""); err != nil {
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, c := range r.contents {
		if err := os.WriteFile(blobPath(ts, args[0], c.desc.Digest.String()), c.data, 0o644); err != nil {
			return err
		}
		if c.desc.MediaType == ocispec.MediaTypeImageManifest || c.desc.MediaType == ocispec.MediaTypeImageIndex {
			index.Manifests = append(index.Manifests, c.desc)
		}
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(ts.MkAbs(args[0]), "index.json"), data, 0o644)
}

// serveCRL starts a server of one CRL; serve says whether the CRL has the leaf.
func serveCRL(ts *testscript.TestScript) (serve func(leaf *testpki.Entity, revoked bool), url string) {
	var list []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(list) }))
	ts.Defer(server.Close)
	return func(leaf *testpki.Entity, revoked bool) {
		template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
		if revoked {
			template.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: leaf.Cert.SerialNumber, RevocationTime: time.Now().Add(-time.Hour)}}
		}
		var err error
		list, err = x509.CreateRevocationList(rand.Reader, template, leaf.Issuer.Cert, leaf.Issuer.Key)
		ts.Check(err)
	}, server.URL + "/crl"
}

// scriptKinds makes a layout with manifests of several kinds, each with a tag.
func scriptKinds(ts *testscript.TestScript, args []string) error {
	dir := ts.MkAbs(args[0])
	if _, err := makeLayout(dir, "kinds"); err != nil {
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for tag, mediaType := range map[string]string{
		"index": ocispec.MediaTypeImageIndex, "docker": "application/vnd.docker.distribution.manifest.v2+json",
		"list": "application/vnd.docker.distribution.manifest.list.v2+json", "helm": ocispec.MediaTypeImageManifest,
	} {
		data := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"tag":%q}}`, mediaType, tag)
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data)), Annotations: map[string]string{ocispec.AnnotationRefName: tag}}
		if err := os.WriteFile(blobPath(ts, args[0], desc.Digest.String()), data, 0o644); err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, desc)
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), data, 0o644)
}

// scriptWebServer serves the script's directory by TLS.
func scriptWebServer(ts *testscript.TestScript, _ []string) error {
	server := httptest.NewUnstartedServer(http.FileServer(http.Dir(ts.MkAbs("."))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	ts.Defer(server.Close)
	ts.Setenv("WEB", server.URL)
	return os.WriteFile(ts.MkAbs("web-ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600)
}

// scriptChecksum sets SHA256 to a file's.
func scriptChecksum(ts *testscript.TestScript, args []string) error {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Setenv("SHA256", fmt.Sprintf("%X", sha256.Sum256(data)))
	return err
}

func scriptChomp(ts *testscript.TestScript, args []string) error {
	text := strings.TrimSuffix(ts.ReadFile(args[0]), "\n")
	return os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600)
}
