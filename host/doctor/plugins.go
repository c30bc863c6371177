package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/semver"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/protocol"
)

// plugins compares the plugins with their pins and asks each for its metadata.
func (e *examination) plugins(ctx context.Context) {
	opts := e.Plugins
	opts.RequirePins = e.loaded.RequirePins
	opts.Warn = func(warning error) {
		if _, unpinned := errors.AsType[*plugin.UnpinnedError](warning); unpinned {
			return // the comparison with the pins tells it
		}
		e.add(Plugins, Warning, e.Dirs.Plugins(), warning.Error(), "keep the plugins where only root and you can write")
	}
	manager := plugin.NewManager(e.Dirs.Plugins(), opts)
	reports, err := manager.Verify(ctx)
	if err != nil {
		e.add(Plugins, Broken, e.Dirs.Plugins(), err.Error(), "restore the file from a backup; no plugin runs until then")
	}
	for _, report := range reports {
		e.pin(report)
	}
	entries, err := manager.List(ctx)
	if err != nil {
		e.add(Plugins, Broken, e.Dirs.Plugins(), err.Error(), "give yourself the right to read the directory")
		return
	}
	found := map[string]*protocol.Metadata{}
	for _, entry := range entries {
		e.installed = append(e.installed, entry.Name)
		found[entry.Name] = entry.Metadata
		e.metadata(entry, reports)
	}
	for _, statement := range e.statements {
		for _, wanted := range statement.VerificationPlugins {
			e.required(statement, wanted, found[wanted.Name])
		}
	}
	if len(entries) == 0 {
		e.add(Plugins, OK, e.Dirs.Plugins(), "no plugin is installed", "")
	}
}

// pin judges how a plugin stands to its pin.
func (e *examination) pin(report plugin.PinReport) {
	switch report.Status {
	case plugin.PinHolds:
	case plugin.PinAbsent:
		severity := map[bool]Severity{true: Broken, false: Warning}[e.loaded.RequirePins]
		e.add(Plugins, severity, report.Name, "it is not pinned, so that a change of its files would go unnoticed", fmt.Sprintf("once you trust the files as they are, run: %s plugin pin %s", e.Program, report.Name))
	case plugin.PluginAbsent:
		e.add(Plugins, Warning, report.Name, "it is pinned and not installed", fmt.Sprintf("install it again, or forget the pin: %s plugin uninstall %s", e.Program, report.Name))
	default:
		e.add(Plugins, Broken, report.Name, report.Err.Error(), fmt.Sprintf("find out who changed it; if in doubt install it again: %s plugin install", e.Program))
	}
}

// metadata judges what a plugin says of itself. That one with a broken pin does
// not run has been said.
func (e *examination) metadata(entry plugin.Entry, reports []plugin.PinReport) {
	told := slices.ContainsFunc(reports, func(r plugin.PinReport) bool {
		return r.Name == entry.Name && (r.Status == plugin.PinBroken || r.Status == plugin.PinUnknown || r.Status == plugin.PinAbsent && e.loaded.RequirePins)
	})
	switch {
	case entry.Err != nil && !told:
		e.add(Plugins, Broken, entry.Name, entry.Err.Error(), "install a version of the plugin that works, or ask its vendor")
	case entry.Err == nil:
		m := entry.Metadata
		var names []string
		for _, capability := range m.Capabilities {
			names = append(names, string(capability))
		}
		e.add(Plugins, OK, entry.Name, fmt.Sprintf("version %s: %s", m.Version, strings.Join(names, ", ")), "")
	}
}

// reaches tells whether a version is at least the minimum.
func reaches(version, minimum string) bool {
	has, err := semver.Parse(version)
	if err != nil {
		return false
	}
	needs, err := semver.Parse(minimum)
	return err == nil && has.Compare(needs) >= 0
}

// required judges whether a plugin can do what a statement demands of it.
func (e *examination) required(statement namedStatement, wanted trust.VerificationPlugin, metadata *protocol.Metadata) {
	demand := fmt.Sprintf("statement %q of %s demands its verdict", statement.Name, statement.file)
	if !slices.Contains(e.installed, wanted.Name) {
		e.add(Plugins, Broken, wanted.Name, "it is not installed, and "+demand, fmt.Sprintf("run: %s plugin install", e.Program))
		return
	}
	if metadata == nil {
		return // why it does not work has been said
	}
	if wanted.MinVersion != "" && !reaches(metadata.Version, wanted.MinVersion) {
		e.add(Plugins, Broken, wanted.Name, fmt.Sprintf("its version is %s, and %s from version %s on", metadata.Version, demand, wanted.MinVersion), "install a newer version")
	}
	needs := map[trust.Check]protocol.Capability{
		trust.CheckAuthenticity: protocol.CapabilityTrustedIdentityVerifier,
		trust.CheckRevocation:   protocol.CapabilityRevocationCheckVerifier,
	}
	for _, check := range wanted.Checks {
		if !slices.Contains(metadata.Capabilities, needs[check]) {
			e.add(Plugins, Broken, wanted.Name, fmt.Sprintf("it lacks the capability %s, and %s on %s", needs[check], demand, check), "install a version that has it, or ask its vendor")
		}
	}
}
