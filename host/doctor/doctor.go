// Package doctor examines an installation: its configuration, files, trust,
// signing keys and plugins, and the registries it is asked about, and says of each
// finding what to do. It changes nothing.
package doctor

import (
	"cmp"
	"context"
	"log/slog"
	"os/exec"
	"slices"
	"time"

	"github.com/signet-project/signet/host/artifact"
	"github.com/signet-project/signet/host/config"
	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/trust"
)

// Severity says how much a finding matters.
type Severity string

// The severities, the least first.
const (
	// OK: there is nothing to do.
	OK Severity = "ok"
	// Note: worth knowing, and nothing has to be done.
	Note Severity = "note"
	// Warning: it works, and should be mended.
	Warning Severity = "warning"
	// Broken: something does not work until it is mended.
	Broken Severity = "error"
)

// Area is the part of the installation that a finding is about.
type Area string

// The areas, in the order in which they are examined.
const (
	Configuration Area = "configuration"
	Files         Area = "files"
	Policies      Area = "trust policies"
	Stores        Area = "trust stores"
	Keys          Area = "signing keys"
	Plugins       Area = "plugins"
	Registries    Area = "registries"
	Clock         Area = "clock"
)

// Finding is one thing found out.
type Finding struct {
	Area     Area
	Severity Severity
	// Subject is the file, store, key, plugin or registry it is about.
	Subject string
	// Message says what was found, Remedy what to do; the latter is empty for OK
	// and may be for Note.
	Message, Remedy string
}

// Doctor says what to examine. Dirs is required.
type Doctor struct {
	Dirs config.Dirs
	// Program is the name that remedies call the program by; empty means signet.
	Program string
	// DockerConfigFile is where Docker keeps its settings; may be empty.
	DockerConfigFile string
	// LookPath finds a program on PATH; nil means [exec.LookPath].
	LookPath func(string) (string, error)
	// Plugins are the options with which plugins are run; Warn is not used, and
	// RequirePins is what the settings say.
	Plugins plugin.Options
	// Client makes what reaches the registries that are asked about; it is not called
	// unless there are any.
	Client func() (*artifact.Client, error)
	// Registries are the registries to ask. Nothing else here uses the network.
	Registries []string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Soon is how long before its end a certificate's validity draws a warning.
const Soon = 30 * 24 * time.Hour

// maxSkew is how far the clock may be from a registry's before it draws a warning,
// badSkew before it counts as broken.
const (
	maxSkew = time.Minute
	badSkew = 5 * time.Minute
)

// Examine looks at everything and returns the findings by area. Within an area the
// worst come first.
func (d *Doctor) Examine(ctx context.Context) []Finding {
	e := &examination{Doctor: *d}
	e.Program = cmp.Or(d.Program, "signet")
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.LookPath == nil {
		e.LookPath = exec.LookPath
	}
	e.home()
	e.settings()
	e.credentials(config.SettingsPath(e.Dirs.Config))
	e.credentials(e.DockerConfigFile)
	e.files()
	e.policies()
	e.stores(ctx)
	e.plugins(ctx)
	e.keys()
	e.registries(ctx)
	return e.sorted()
}

func rank(s Severity) int { return slices.Index([]Severity{OK, Note, Warning, Broken}, s) }

// examination is what is known so far.
type examination struct {
	Doctor
	findings []Finding

	loaded *config.Settings
	// statements are those of both policies, by the kind of policy.
	statements []namedStatement
	// installed are the plugins found.
	installed []string
}

type namedStatement struct {
	file string
	*trust.Statement
}

func (e *examination) add(area Area, severity Severity, subject, message, remedy string) {
	e.findings = append(e.findings, Finding{area, severity, subject, message, remedy})
}

// sorted orders the findings by area and severity; otherwise they stay as found.
func (e *examination) sorted() []Finding {
	areas := []Area{Configuration, Files, Policies, Stores, Keys, Plugins, Registries, Clock}
	slices.SortStableFunc(e.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(areas, a.Area), slices.Index(areas, b.Area)), cmp.Compare(rank(b.Severity), rank(a.Severity)))
	})
	return e.findings
}

// remarks takes what a room has to say through its log.
type remarks struct {
	slog.Handler
	take func(slog.Record)
}

// Handle takes a remark.
func (n *remarks) Handle(_ context.Context, record slog.Record) error {
	n.take(record)
	return nil
}

// Enabled takes remarks of all levels.
func (n *remarks) Enabled(context.Context, slog.Level) bool { return true }
