package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/testlink"
	"github.com/signet-project/signet/protocol"
)

// packageFile stores a plugin package and returns its path.
func packageFile(t *testing.T, content []byte) string {
	t.Helper()
	return write(t, filepath.Join(tempDir(t), "package"), content, 0o644)
}

// scriptPackage is an archive with the plugin "x" and a licence.
func scriptPackage(t *testing.T, version string) string {
	t.Helper()
	return packageFile(t, tarGzOf(t, item{"notation-x", 0o755, script("x", version)}, item{"LICENSE", 0o644, []byte("do what you like")}))
}

// warnings collects what a manager warns of.
type warnings struct{ texts []string }

func (w *warnings) add(err error) { w.texts = append(w.texts, err.Error()) }

func mustInstall(t *testing.T, m *Manager, r InstallRequest) *InstallResult {
	t.Helper()
	result, err := m.Install(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// versionOf asks an installed plugin for its version.
func versionOf(t *testing.T, m *Manager, name string) string {
	t.Helper()
	metadata, err := m.metadata(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return metadata.Version
}

// checkClean fails when anything unfinished is left in the plugin directory.
func checkClean(t *testing.T, m *Manager) {
	t.Helper()
	for _, name := range listing(t, m.dir) {
		if strings.HasPrefix(name, scratchPrefix) {
			t.Errorf("left behind: %s", name)
		}
	}
}

func TestInstall(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	t.Run("PLG-60 PLG-72 from a file", func(t *testing.T) {
		m := NewManager(filepath.Join(tempDir(t), "new", "plugins"), Options{RequirePins: true})
		result := mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")})
		if got := result.String(); got != "Successfully installed plugin x, version 1.0.0" {
			t.Error(got)
		}
		if version := versionOf(t, m, "x"); version != "1.0.0" {
			t.Error(version)
		}
		lock, err := m.store.load()
		if err != nil || len(lock.Plugins["x"].Pins) != 1 || lock.Plugins["x"].Pins[0].Digest != result.Digest || lock.Plugins["x"].Pins[0].PluginVersion != "1.0.0" || lock.Plugins["x"].Staged != "" {
			t.Errorf("%+v, %v", lock.Plugins["x"], err)
		}
		checkClean(t, m)
	})
	t.Run("PLG-60 either a file or a URL", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		for _, r := range []InstallRequest{{}, {File: "a", URL: "https://example.com"}} {
			if _, err := m.Install(t.Context(), r); err == nil {
				t.Errorf("%+v taken", r)
			}
		}
	})
	t.Run("PLG-62 single executable", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		file := write(t, filepath.Join(tempDir(t), "notation-x"), script("x", "1.0.0"), 0o700)
		mustInstall(t, m, InstallRequest{File: file})
		if info, err := os.Stat(filepath.Join(m.dir, "x", "notation-x")); err != nil || info.Mode() != 0o700 {
			t.Error(info, err)
		}
		plain := write(t, filepath.Join(tempDir(t), "notation-y"), script("y", "1.0.0"), 0o644)
		if _, err := m.Install(t.Context(), InstallRequest{File: plain}); err == nil || !strings.Contains(err.Error(), "input file notation-y is not executable") {
			t.Error(err)
		}
	})
	t.Run("PLG-62 zip", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		mustInstall(t, m, InstallRequest{File: packageFile(t, zipOf(t, item{"notation-x", 0o755, script("x", "1.0.0")}))})
		if version := versionOf(t, m, "x"); version != "1.0.0" {
			t.Error(version)
		}
	})
	t.Run("PLG-67 missing execute permission is repaired and warned of", func(t *testing.T) {
		var warned warnings
		m := NewManager(tempDir(t), Options{Warn: warned.add})
		mustInstall(t, m, InstallRequest{File: packageFile(t, zipOf(t, item{"notation-x", 0o644, script("x", "1.0.0")}))})
		if len(warned.texts) != 1 || !strings.Contains(warned.texts[0], `Found candidate plugin executable file "notation-x" without executable permission. Setting user executable bit and trying to install.`) {
			t.Errorf("%q", warned.texts)
		}
		if version := versionOf(t, m, "x"); version != "1.0.0" {
			t.Error(version)
		}
	})
	t.Run("PLG-68 modes and licences", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")})
		for path, want := range map[string]fs.FileMode{".": fs.ModeDir | 0o755, "notation-x": 0o755, "LICENSE": 0o644} {
			if info, err := os.Stat(filepath.Join(m.dir, "x", path)); err != nil || info.Mode() != want {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
	})
	t.Run("PLG-69 PLG-72 versions", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.2.0")})
		fails := func(version, want string) {
			t.Helper()
			_, err := m.Install(t.Context(), InstallRequest{File: scriptPackage(t, version)})
			if err == nil || err.Error() != want {
				t.Errorf("%v", err)
			}
			if got := versionOf(t, m, "x"); got != "1.2.0" {
				t.Error("version now", got)
			}
		}
		fails("1.2.0", "plugin installation failed: plugin x with version 1.2.0 already exists")
		fails("1.2.0-rc.1", "plugin installation failed: failed to install plugin x. The installing plugin version 1.2.0-rc.1 is lower than the existing plugin version 1.2.0.")
		fails("1.3", "plugin installation failed: failed to compare plugin versions: 1.3 is not a valid semantic version")
		result := mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.10.0")})
		if got := result.String(); got != "Successfully updated plugin x from version 1.2.0 to 1.10.0" {
			t.Error(got)
		}
		result = mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0"), Force: true})
		if got := result.String(); got != "Successfully updated plugin x from version 1.10.0 to 1.0" {
			t.Error(got)
		}
		checkClean(t, m)
	})
	t.Run("PLG-69 a fresh installation needs no SemVer", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		if result := mustInstall(t, m, InstallRequest{File: scriptPackage(t, "v1")}); result.Version != "v1" {
			t.Error(result.Version)
		}
	})
	t.Run("PLG-69 an existing plugin that does not work", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		write(t, filepath.Join(m.dir, "x", "notation-x"), []byte("#!/bin/sh\nexit 3\n"), 0o755)
		_, err := m.Install(t.Context(), InstallRequest{File: scriptPackage(t, "1.0.0")})
		if err == nil || !strings.HasPrefix(err.Error(), "plugin installation failed: failed to get metadata of existing plugin: ") {
			t.Error(err)
		}
		result := mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0"), Force: true})
		if result.Updated || versionOf(t, m, "x") != "1.0.0" {
			t.Errorf("%+v", result)
		}
	})
	t.Run("PLG-69 an existing plugin whose pin is broken is not run", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")})
		trace := filepath.Join(tempDir(t), "ran")
		write(t, filepath.Join(m.dir, "x", "notation-x"), []byte("#!/bin/sh\ntouch "+trace), 0o755)
		_, err := m.Install(t.Context(), InstallRequest{File: scriptPackage(t, "2.0.0")})
		if _, ok := errors.AsType[*PinError](err); !ok {
			t.Error(err)
		}
		mustInstall(t, m, InstallRequest{File: scriptPackage(t, "2.0.0"), Force: true})
		if _, err := os.Stat(trace); err == nil {
			t.Error("it was run")
		}
	})
	t.Run("PLG-71 nothing of the old plugin remains", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")})
		mustInstall(t, m, InstallRequest{File: packageFile(t, zipOf(t, item{"notation-x", 0o755, script("x", "2.0.0")}))})
		if got := listing(t, filepath.Join(m.dir, "x")); !slices.Equal(got, []string{"notation-x"}) {
			t.Error(got)
		}
	})
	t.Run("PLG-71 a directory without executable or a link in the place", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		write(t, filepath.Join(m.dir, "x", "leftover"), nil, 0o644)
		if result := mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")}); result.Updated {
			t.Error(result)
		}
		outside := writePlugin(t, tempDir(t), "y", "1.0.0", 0o755)
		testlink.Symlink(t, filepath.Dir(outside), filepath.Join(m.dir, "y"))
		file := packageFile(t, zipOf(t, item{"notation-y", 0o755, script("y", "2.0.0")}))
		if _, err := m.Install(t.Context(), InstallRequest{File: file}); err == nil {
			t.Error("link replaced without force")
		}
		mustInstall(t, m, InstallRequest{File: file, Force: true})
		if _, err := os.Stat(outside); err != nil {
			t.Error("what the link led to is gone:", err)
		}
		if version := versionOf(t, m, "y"); version != "2.0.0" {
			t.Error(version)
		}
	})
	t.Run("PLG-16 metadata of another name", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		file := packageFile(t, zipOf(t, item{"notation-x", 0o755, script("z", "1.0.0")}))
		_, err := m.Install(t.Context(), InstallRequest{File: file})
		if err == nil || !strings.Contains(err.Error(), `plugin executable file name must be "notation-z" instead of "notation-x"`) {
			t.Error(err)
		}
		if names, _ := m.Names(); len(names) != 0 {
			t.Error(names)
		}
		checkClean(t, m)
	})
	t.Run("sources that are none", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		for _, file := range []string{tempDir(t), filepath.Join(tempDir(t), "absent"), packageFile(t, nil)} {
			_, err := m.Install(t.Context(), InstallRequest{File: file})
			if _, ok := errors.AsType[*InstallError](err); !ok {
				t.Error(file, err)
			}
		}
	})
	t.Run("CLI-04 the candidate gets no credentials and nothing withheld", func(t *testing.T) {
		trace := filepath.Join(tempDir(t), "environment")
		file := packageFile(t, zipOf(t, item{"notation-x", 0o755, append([]byte("#!/bin/sh\nenv > "+trace+"\n"), script("x", "1.0.0")...)}))
		m := NewManager(tempDir(t), Options{Environ: []string{"PATH=" + os.Getenv("PATH"), "NOTATION_PASSWORD=secret1", "AWS_SECRET=secret2", "KEPT=yes"}})
		mustInstall(t, m, InstallRequest{File: file, WithheldEnvironment: []string{"AWS_*"}})
		for range 2 {
			data, err := os.ReadFile(trace)
			if err != nil || strings.Contains(string(data), "secret") || !strings.Contains(string(data), "KEPT=yes") {
				t.Errorf("%v\n%s", err, data)
			}
			os.Remove(trace)
			versionOf(t, m, "x") // installed, it still does not
		}
		// An upgrade keeps the list.
		mustInstall(t, m, InstallRequest{File: scriptPackage(t, "2.0.0")})
		if lock, err := m.store.load(); err != nil || !slices.Equal(lock.Plugins["x"].WithheldEnvironment, []string{"AWS_*"}) {
			t.Error(lock, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		ctx, cancel := context.WithCancel(t.Context())
		m.step = func(string) { cancel() }
		if _, err := m.Install(ctx, InstallRequest{File: scriptPackage(t, "1.0.0")}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if names, _ := m.Names(); len(names) != 0 {
			t.Error(names)
		}
		checkClean(t, m)
	})
}

func TestInstallChecksum(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	file := scriptPackage(t, "1.0.0")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	right := hex.EncodeToString(sum[:])
	wrong := strings.Repeat("0", 64)
	t.Run("PLG-61 either case", func(t *testing.T) {
		for _, checksum := range []string{right, strings.ToUpper(right)} {
			mustInstall(t, NewManager(tempDir(t), Options{}), InstallRequest{File: file, SHA256: checksum})
		}
	})
	t.Run("PLG-73 mismatch", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		_, err := m.Install(t.Context(), InstallRequest{File: file, SHA256: wrong})
		if err == nil || err.Error() != "plugin installation failed: plugin SHA-256 checksum does not match user input. Expecting "+wrong {
			t.Error(err)
		}
		if mismatch, ok := errors.AsType[*ChecksumError](err); !ok || mismatch.Actual != right {
			t.Error(mismatch)
		}
		checkClean(t, m)
	})
}

func TestInstallURL(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	content := script("x", "1.0.0")
	sum := sha256.Sum256(content)
	checksum := hex.EncodeToString(sum[:])
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/notation-x":
			w.Write(content)
		case "/moved":
			http.Redirect(w, r, "/notation-x", http.StatusFound)
		case "/insecure":
			http.Redirect(w, r, plain.URL+"/notation-x", http.StatusFound)
		case "/endless":
			http.Redirect(w, r, "/endless", http.StatusFound)
		case "/huge":
			w.Header().Set("Content-Length", fmt.Sprint(MaxPackageSize))
			chunk := make([]byte, 1<<20)
			for range MaxPackageSize / len(chunk) {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	m := func(t *testing.T) *Manager { return NewManager(tempDir(t), Options{HTTPClient: server.Client()}) }

	t.Run("PLG-64 messages and progress", func(t *testing.T) {
		m := m(t)
		var lines []string
		var received, total int64
		mustInstall(t, m, InstallRequest{
			URL: server.URL + "/notation-x", SHA256: checksum,
			Status:   func(line string) { lines = append(lines, line) },
			Progress: func(r, n int64) { received, total = r, n },
		})
		if want := []string{"Downloading plugin from " + server.URL + "/notation-x", "Download completed"}; !slices.Equal(lines, want) {
			t.Errorf("%q", lines)
		}
		if received != int64(len(content)) || total != received {
			t.Error(received, total)
		}
		if version := versionOf(t, m, "x"); version != "1.0.0" {
			t.Error(version)
		}
	})
	t.Run("GEN-11 what a URL has of secrets is not shown", func(t *testing.T) {
		with := strings.Replace(server.URL, "://", "://user:pass@", 1)
		m := m(t)
		for url, want := range map[string]string{
			with + "/notation-x?token=secret": "",
			with + "/absent?token=secret":     server.URL + "/absent",
			with + "/insecure?token=secret":   server.URL + "/insecure",
			with + "/%zz?token=secret":        "failed to parse plugin download URL",
		} {
			var text strings.Builder
			_, err := m.Install(t.Context(), InstallRequest{URL: url, SHA256: checksum, Status: func(line string) { text.WriteString(line + "\n") }})
			if err != nil {
				text.WriteString(err.Error())
			}
			if (err == nil) != (want == "") || !strings.Contains(text.String(), want) || strings.Contains(text.String(), "pass") || strings.Contains(text.String(), "secret") {
				t.Errorf("%s: %s", url, text.String())
			}
		}
	})
	t.Run("PLG-60 https redirections are followed", func(t *testing.T) {
		mustInstall(t, m(t), InstallRequest{URL: server.URL + "/moved", SHA256: checksum, FileName: "notation-x"})
	})
	for name, c := range map[string]struct{ url, checksum, want string }{
		"PLG-60 http refused":                 {plain.URL + "/notation-x", checksum, "failed to download plugin from URL: only the HTTPS scheme is supported, but got http"},
		"PLG-60 redirection to http refused":  {server.URL + "/insecure", checksum, "only the HTTPS scheme is supported, but got a redirection to http"},
		"PLG-60 endless redirections refused": {server.URL + "/endless", checksum, "stopped after 10 redirections"},
		"PLG-61 checksum required":            {server.URL + "/notation-x", "", "installing from URL requires non-empty SHA256 checksum of the plugin source"},
		"PLG-73 wrong checksum":               {server.URL + "/notation-x", "00", "plugin installation failed: plugin SHA-256 checksum does not match user input. Expecting 00"},
		"PLG-60 no such file":                 {server.URL + "/absent", checksum, "https response bad status: 404"},
		"PLG-60 no URL":                       {"https://[", checksum, "failed to parse plugin download URL"},
	} {
		t.Run(name, func(t *testing.T) {
			m := m(t)
			_, err := m.Install(t.Context(), InstallRequest{URL: c.url, SHA256: c.checksum})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			if names, _ := m.Names(); len(names) != 0 {
				t.Error(names)
			}
		})
	}
	t.Run("PLG-63 download limit", func(t *testing.T) {
		if testing.Short() {
			t.Skip("downloads 256 MiB")
		}
		_, err := m(t).Install(t.Context(), InstallRequest{URL: server.URL + "/huge", SHA256: checksum})
		if err == nil || !strings.Contains(err.Error(), "https response reached the 256 MiB size limit") {
			t.Error(err)
		}
	})
}

// fetching is a request whose package is content, with the label of plugin "x".
func fetching(content []byte, label Label) InstallRequest {
	return InstallRequest{
		Fetch:  func(_ context.Context, w io.Writer) error { _, err := w.Write(content); return err },
		Label:  label,
		Source: "oci://registry.example/x@sha256:00",
	}
}

func TestInstallFetched(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	marker := filepath.Join(tempDir(t), "ran")
	talkative := append([]byte("#!/bin/sh\ntouch '"+marker+"'\n"), script("x", "1.0.0")...)
	archive := tarGzOf(t, item{"notation-x", 0o755, talkative})
	ran := func() bool { _, err := os.Stat(marker); return err == nil }
	t.Run("PLG-72 installed, pinned, with its source", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{RequirePins: true})
		result := mustInstall(t, m, fetching(tarGzOf(t, item{"notation-x", 0o755, script("x", "1.0.0")}), Label{"x", "1.0.0"}))
		if got := result.String(); got != "Successfully installed plugin x, version 1.0.0" {
			t.Error(got)
		}
		if version := versionOf(t, m, "x"); version != "1.0.0" {
			t.Error(version)
		}
		lock, err := m.store.load()
		if err != nil || lock.Plugins["x"].Pins[0].Source != "oci://registry.example/x@sha256:00" {
			t.Errorf("%+v, %v", lock.Plugins["x"], err)
		}
		checkClean(t, m)
	})
	for name, c := range map[string]struct {
		request InstallRequest
		runs    bool
		want    string
	}{
		"another name than the label's is not run": {fetching(archive, Label{"y", "1.0.0"}), false, `plugin installation failed: the artifact says that the plugin's name is "y", but it is "x": ask its publisher`},
		"another version than the label's":         {fetching(archive, Label{"x", "1.0.1"}), true, `the plugin's version is "1.0.1", but it is "1.0.0"`},
		"PLG-62 an executable is no package":       {fetching(talkative, Label{}), false, "plugin file name requires format"},
		"PLG-60 a file as well":                    {InstallRequest{File: "x", Fetch: func(context.Context, io.Writer) error { return nil }}, false, "either from a file or from a URL or from an artifact"},
		"nothing fetched":                          {fetching(nil, Label{}), false, "plugin file name requires format"},
		"a storage that fails":                     {InstallRequest{Fetch: func(context.Context, io.Writer) error { return errors.New("registry gone") }}, false, "registry gone"},
		"a storage that fails after the whole of it": {InstallRequest{Fetch: func(_ context.Context, w io.Writer) error {
			return errors.Join(second(w.Write(archive)), errors.New("does not match"))
		}}, false, "does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			os.Remove(marker)
			m := NewManager(tempDir(t), Options{})
			_, err := m.Install(t.Context(), c.request)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			if ran() != c.runs {
				t.Errorf("run: %t", ran())
			}
			if names, _ := m.Names(); len(names) != 0 {
				t.Error(names)
			}
			checkClean(t, m)
		})
	}
	t.Run("PLG-63 a storage that does not end", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		chunk := make([]byte, 1<<20)
		var written int
		_, err := m.Install(t.Context(), InstallRequest{Fetch: func(_ context.Context, w io.Writer) error {
			for {
				n, err := w.Write(chunk)
				if written += n; err != nil {
					return err
				}
			}
		}})
		if !errors.Is(err, errFileSize) || written >= MaxPackageSize {
			t.Error(written, err)
		}
	})
	t.Run("PLG-64 a storage that hangs is waited for as long as a download", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		_, err := m.Install(t.Context(), InstallRequest{Fetch: func(ctx context.Context, _ io.Writer) error {
			deadline, ok := ctx.Deadline()
			if left := time.Until(deadline); !ok || left > DownloadTimeout || left < DownloadTimeout-time.Minute {
				t.Error(deadline, ok)
			}
			return context.DeadlineExceeded
		}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestUninstall(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	t.Run("PLG-74 plugin and pin are gone", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		mustInstall(t, m, InstallRequest{File: scriptPackage(t, "1.0.0")})
		if err := m.Uninstall(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if lock, err := m.store.load(); err != nil || len(lock.Plugins) != 0 {
			t.Error(lock, err)
		}
		if got := listing(t, m.dir); !slices.Equal(got, []string{guardName, lockFileName}) {
			t.Error(got)
		}
		if _, err := m.Get(t.Context(), "x"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("PLG-74 absent", func(t *testing.T) {
		for _, dir := range []string{tempDir(t), filepath.Join(tempDir(t), "absent")} {
			err := NewManager(dir, Options{}).Uninstall(t.Context(), "x")
			if missing, ok := errors.AsType[*NotInstalledError](err); !ok || missing.Name != "x" {
				t.Error(err)
			}
		}
	})
	t.Run("a plugin that cannot be run", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		writePlugin(t, m.dir, "x", "1.0.0", 0o644)
		if err := m.Uninstall(t.Context(), "x"); err != nil {
			t.Error(err)
		}
		if names, _ := m.Names(); len(names) != 0 {
			t.Error(names)
		}
	})
	t.Run("a link does not lead outside", func(t *testing.T) {
		m := NewManager(tempDir(t), Options{})
		outside := writePlugin(t, tempDir(t), "x", "1.0.0", 0o755)
		testlink.Symlink(t, filepath.Dir(outside), filepath.Join(m.dir, "x"))
		if err := m.Uninstall(t.Context(), "x"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(outside); err != nil {
			t.Error(err)
		}
	})
}

func TestExecutableForAnotherSystem(t *testing.T) {
	needsScripts(t)
	t.Parallel()
	m := NewManager(tempDir(t), Options{})
	for name, content := range map[string]string{"garbage": "\x7fELF and so on", "scriptless": "#!/nonexistent/interpreter\n"} {
		write(t, filepath.Join(m.dir, name, "notation-"+name), []byte(content), 0o755)
		_, err := m.metadata(t.Context(), name)
		failure, ok := errors.AsType[*protocol.CallError](err)
		if !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if reason, ok := errors.AsType[*ExecutableError](failure); !ok || !strings.Contains(reason.Error(), filepath.Join(m.dir, name)) {
			t.Errorf("%s (%s): %v", name, runtime.GOOS, err)
		}
	}
}
