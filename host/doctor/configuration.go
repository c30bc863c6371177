package doctor

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/internal/wholefile"
	"github.com/signet-project/signet/host/netclient"
	"github.com/signet-project/signet/host/pki"
)

// home tells whether the configuration depends on where the program is called.
func (e *examination) home() {
	if e.Dirs.Homeless {
		e.add(Configuration, Warning, e.Dirs.Config, "no home directory is known, so that what is trusted depends on the current directory", "set NOTATION_CONFIG to the directory that is meant")
	}
}

// settings reads config.json.
func (e *examination) settings() {
	path := config.SettingsPath(e.Dirs.Config)
	settings, err := config.LoadSettings(e.Dirs.Config)
	if err != nil {
		e.add(Configuration, Broken, path, err.Error(), remedyFor(err, "mend the file; until then every command that needs a setting fails"))
		settings = &config.Settings{}
	}
	e.loaded = settings
	before := len(e.findings)
	for _, name := range settings.Unknown {
		e.add(Configuration, Warning, path, fmt.Sprintf("member %q is not known and has no effect", name), "correct its spelling, or take it out")
	}
	if format := settings.SignatureFormat; format != "" && format != "jws" && format != "cose" {
		e.add(Configuration, Broken, path, fmt.Sprintf("signatureFormat %q is not supported, so that signing fails", format), `write "jws" or "cose"`)
	}
	for _, host := range settings.InsecureRegistries {
		e.add(Configuration, Note, path, fmt.Sprintf("registry %s is spoken to by plain HTTP: who is on the way can read and change what is exchanged", host), "take it out of insecureRegistries once the registry speaks TLS")
	}
	e.caFile(path, "caFile", settings.CAFile)
	for _, host := range slices.Sorted(maps.Keys(settings.Registries)) {
		registry := settings.Registries[host]
		e.caFile(path, "caFile of registry "+host, registry.CAFile)
		e.clientCertificate(path, host, registry)
	}
	if err == nil && len(e.findings) == before {
		message := "the settings are in order"
		if _, err := os.Lstat(path); err != nil {
			message = "there is no such file, and none is needed"
		}
		e.add(Configuration, OK, path, message, "")
	}
}

// maxFileSize bounds a file of certificates, of a key or of credentials, in bytes.
const maxFileSize = 16 << 20

// caFile checks a file of certificate authorities that a setting names.
func (e *examination) caFile(path, setting, file string) {
	if file == "" {
		return
	}
	data, err := wholefile.Read(file, maxFileSize)
	if err == nil {
		_, err = pki.ParseCertificates(data)
	}
	if err != nil {
		e.add(Configuration, Broken, path, fmt.Sprintf("the %s %s cannot be used: %v", setting, file, err), remedyFor(err, "name a file with certificates in PEM or DER form, or take the setting out"))
	}
}

// clientCertificate checks the certificate that a registry is to recognise us by.
func (e *examination) clientCertificate(path, host string, registry config.RegistrySettings) {
	if registry.CertFile == "" && registry.KeyFile == "" {
		return
	}
	var cert *x509.Certificate
	pair, err := netclient.Certificate{CertFile: registry.CertFile, KeyFile: registry.KeyFile}.Load()
	if err == nil {
		cert, err = x509.ParseCertificate(pair.Certificate[0]) // its Leaf may be nil
	}
	if err != nil {
		e.add(Configuration, Broken, path, fmt.Sprintf("the client certificate for registry %s cannot be used: %v", host, err), remedyFor(err, "name the certificate with its chain as certFile and its private key as keyFile, both PEM"))
		return
	}
	now := e.Now()
	switch {
	case now.After(cert.NotAfter) || now.Before(cert.NotBefore):
		e.add(Configuration, Broken, registry.CertFile, fmt.Sprintf("the client certificate for registry %s is valid from %s to %s only", host, day(cert.NotBefore), day(cert.NotAfter)), "get a new one from whoever runs the registry")
	case endsSoon(cert, now):
		e.add(Configuration, Warning, registry.CertFile, fmt.Sprintf("the client certificate for registry %s expires on %s", host, day(cert.NotAfter)), "get a new one from whoever runs the registry before that day")
	}
	e.secret(Configuration, registry.KeyFile, "the key of the client certificate")
}

// credentials looks at where a file lets registry credentials be kept. That it is
// malformed has been said of our own, and is told here of Docker's.
func (e *examination) credentials(path string) {
	data, err := wholefile.Read(path, maxFileSize)
	if path == "" || err != nil {
		return
	}
	var file struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			IdentityToken string `json:"identitytoken"`
		} `json:"auths"`
		CredsStore  string            `json:"credsStore"`
		CredHelpers map[string]string `json:"credHelpers"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		if path == e.DockerConfigFile {
			e.add(Configuration, Broken, path, "it is not valid JSON, so that no credentials are found", "mend the file")
		}
		return
	}
	for _, host := range slices.Sorted(maps.Keys(file.Auths)) {
		if entry := file.Auths[host]; entry.Auth != "" || entry.IdentityToken != "" {
			e.add(Configuration, Warning, path, fmt.Sprintf("the credentials for %s are stored as plain text", host), "configure a credential helper (credsStore), take the entry out and log in again")
		}
	}
	helpers := append(slices.Collect(maps.Values(file.CredHelpers)), file.CredsStore)
	slices.Sort(helpers)
	for _, helper := range slices.Compact(helpers) {
		if helper == "" {
			continue
		}
		if _, err := e.LookPath("docker-credential-" + helper); err != nil {
			e.add(Configuration, Broken, path, fmt.Sprintf("it names the credential helper %s, and there is no program docker-credential-%s on PATH", helper, helper), "install the helper, or name another")
		}
	}
}

// files checks who may read and write what trust rests on. Access control lists
// are not looked at, nor are modes where they mean nothing.
func (e *examination) files() {
	if runtime.GOOS == "windows" {
		e.add(Files, Note, e.Dirs.Config, "permissions are not examined on Windows", "")
		return
	}
	if _, err := os.Lstat(e.Dirs.Config); errors.Is(err, fs.ErrNotExist) {
		e.add(Files, OK, e.Dirs.Config, "there is no configuration yet; it is made when something is configured", "")
		return
	}
	before := len(e.findings)
	looked := 0
	err := filepath.WalkDir(e.Dirs.Config, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			e.add(Files, Warning, path, "it cannot be looked at: "+reason(err).Error(), mayRead)
			return fs.SkipDir
		}
		if path == e.Dirs.Plugins() {
			return fs.SkipDir // the plugins' own examination
		}
		looked++
		e.writable(path, entry)
		return nil
	})
	if err == nil && len(e.findings) == before {
		e.add(Files, OK, e.Dirs.Config, fmt.Sprintf("nobody else can change its %d files and directories", looked), "")
	}
}

// writable finds what others may change.
func (e *examination) writable(path string, entry fs.DirEntry) {
	info, err := entry.Info()
	if err != nil || info.Mode().Type() == fs.ModeSymlink {
		return
	}
	if info.Mode().Perm()&0o022 != 0 {
		e.add(Files, Warning, path, fmt.Sprintf("others than its owner can write it (mode %04o), and so change what is trusted or signed with", info.Mode().Perm()), "run: chmod go-w "+quoted(path))
	}
}

// secret warns when others may read a private key.
func (e *examination) secret(area Area, path, what string) {
	info, err := os.Stat(path)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o044 != 0 {
		e.add(area, Warning, path, fmt.Sprintf("others can read %s (mode %04o)", what, info.Mode().Perm()), "run: chmod go-rwx "+quoted(path)+"; get a new key if others had access to this machine")
	}
}

// quoted makes a name fit for a shell, which must find nothing in it to run.
func quoted(name string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("/._-+,:@"), r)
	}
	for _, r := range name {
		if !plain(r) {
			return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
		}
	}
	return name
}

// reason is what is wrong with a file, without its name.
func reason(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	if large, ok := errors.AsType[*wholefile.SizeError](err); ok {
		return fmt.Errorf("it has more than %d bytes", large.Limit)
	}
	return err
}

// mayRead is the remedy where the system refuses to read.
const mayRead = "give yourself the right to read it"

// remedyFor is what to do about an error: where reading is refused, nothing else helps.
func remedyFor(err error, otherwise string) string {
	if errors.Is(err, fs.ErrPermission) {
		return mayRead
	}
	return otherwise
}
