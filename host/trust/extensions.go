package trust

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/signet-project/signet/host/semver"
)

// The extensions of trust policies (spec/extensions.md). Each is named after
// the member of a statement that it adds.
const (
	ExtensionVerificationPlugins = "verificationPlugins"
	ExtensionSignaturePlugins    = "signaturePlugins"
	ExtensionThreshold           = "threshold"
)

// extensionNames lists the extensions in the order of messages.
var extensionNames = []string{ExtensionVerificationPlugins, ExtensionSignaturePlugins, ExtensionThreshold}

// VerificationPlugin is a check that the verifier demands, whatever the signer wrote.
type VerificationPlugin struct {
	Name string
	// MinVersion is the least version accepted, SemVer 2; empty means any.
	MinVersion string
	// Checks are CheckAuthenticity (capability TRUSTED_IDENTITY) and
	// CheckRevocation (REVOCATION_CHECK), one or both, none twice.
	Checks       []Check
	PluginConfig map[string]string
}

// pluginChecks are the checks that a plugin can make.
var pluginChecks = []Check{CheckAuthenticity, CheckRevocation}

// SignaturePlugins says which plugins a signature itself may call for. The
// zero value allows any, as the specification has it.
type SignaturePlugins struct {
	restricted bool
	names      []string
}

// Allow tells whether a signature may call for the plugin of that name.
func (p SignaturePlugins) Allow(name string) bool {
	return !p.restricted || slices.Contains(p.names, name)
}

// String is "any", "none" or the names, for people.
func (p SignaturePlugins) String() string {
	switch {
	case !p.restricted:
		return "any"
	case len(p.names) == 0:
		return "none"
	}
	return strings.Join(p.names, ", ")
}

// Distinct says what makes two signatures count as two.
type Distinct string

// The values of a threshold's distinct. Either demands different entries of
// trustedIdentities and different leaf public keys.
const (
	DistinctIdentity Distinct = "identity"
	// DistinctRoot demands different anchors besides.
	DistinctRoot Distinct = "root"
)

// Threshold demands a number of signatures by different signers. A missed one
// fails the verification at any level.
type Threshold struct {
	// Signatures is at least 1.
	Signatures int
	Distinct   Distinct
}

// extensions are a statement's extension members as they stand in the file.
type extensions struct {
	listed  []string // the member "extensions"
	present bool     // that member is there
	used    []string // the extension members that are there

	plugins          []verificationPlugin
	signaturePlugins []string // names, when it is a list
	signatureMode    string   // the text, when it is one
	threshold        Threshold

	unknown []string // unknown members of these members, by path
}

type verificationPlugin struct {
	VerificationPlugin
	checks []string
}

// decodeExtensions takes the extension members of a statement.
func decodeExtensions(o *object) extensions {
	var e extensions
	e.present = o.given("extensions")
	e.listed = o.texts("extensions")
	for _, name := range extensionNames {
		if o.given(name) {
			e.used = append(e.used, name)
		}
	}
	remember := func(member string, child *object) {
		for _, name := range child.unknown() {
			e.unknown = append(e.unknown, member+"."+name)
		}
	}
	for i, child := range o.children(ExtensionVerificationPlugins) {
		p := verificationPlugin{checks: child.texts("checks")}
		p.Name, p.MinVersion = child.text("name"), child.text("minVersion")
		p.PluginConfig = child.textMap("pluginConfig")
		e.plugins = append(e.plugins, p)
		remember(fmt.Sprintf("%s[%d]", ExtensionVerificationPlugins, i), child)
	}
	switch value := o.take(ExtensionSignaturePlugins); {
	case value == nil:
	case value.Kind() == '"':
		e.signatureMode = stringOf(value)
	case value.Kind() == '[':
		e.signaturePlugins = o.texts(ExtensionSignaturePlugins)
	default:
		o.fail(`%s must be "any", "none" or an array of plugin names, not %s`, o.at(ExtensionSignaturePlugins), kindName(value))
	}
	if child := o.child(ExtensionThreshold); child != nil {
		e.threshold.Signatures = take[int](child, "signatures", '0', "a whole number")
		e.threshold.Distinct = Distinct(child.text("distinct"))
		remember(ExtensionThreshold, child)
	}
	return e
}

// given tells whether a member is there. One that is null is a mistake: an
// extension is used or it is not.
func (o *object) given(name string) bool {
	value := o.take(name)
	if value != nil && value.Kind() == 'n' {
		o.fail("%s is null: give it a value or remove it", o.at(name))
	}
	return value != nil
}

// parseExtensions checks the extension members and puts them into parsed. The
// statement must list what it uses and use what it lists; then nothing in it
// may be unknown.
func (s *statement) parseExtensions(parsed *Statement) error {
	e := &s.extensions
	if err := e.checkListed(); err != nil {
		return err
	}
	if !e.present {
		return nil
	}
	if len(s.unknown) > 0 {
		return fmt.Errorf("has the unknown member %q, which is an error in a statement that uses extensions: correct or remove it", s.unknown[0])
	}
	if parsed.Level.Skip() {
		return fmt.Errorf("has verification level skip, with which %s cannot be used: nothing is verified", e.used[0])
	}
	parsed.Extensions = e.listed
	for _, name := range e.used {
		var err error
		switch name {
		case ExtensionVerificationPlugins:
			err = e.parseVerificationPlugins(parsed)
		case ExtensionSignaturePlugins:
			err = e.parseSignaturePlugins(parsed)
		case ExtensionThreshold:
			err = e.parseThreshold(parsed)
		}
		if err != nil {
			return fmt.Errorf("has invalid %s: %w", name, err)
		}
	}
	return nil
}

// checkListed compares what is listed with what is used.
func (e *extensions) checkListed() error {
	for i, name := range e.listed {
		switch {
		case !slices.Contains(extensionNames, name):
			return fmt.Errorf("lists the unknown extension %q, known extensions are %q", name, extensionNames)
		case slices.Contains(e.listed[:i], name):
			return fmt.Errorf("lists the extension %q twice", name)
		case !slices.Contains(e.used, name):
			return fmt.Errorf("lists the extension %q but has no member %q: add the member or take it off the list", name, name)
		}
	}
	for _, name := range e.used {
		if !slices.Contains(e.listed, name) {
			return fmt.Errorf("uses %s without listing it: add \"extensions\": [%q] so that no host overlooks it", name, name)
		}
	}
	if e.present && len(e.listed) == 0 {
		return errors.New(`has an empty list "extensions": name the extensions used or remove the member`)
	}
	return nil
}

func (e *extensions) parseVerificationPlugins(parsed *Statement) error {
	if len(e.plugins) == 0 {
		return errors.New("it lists no plugin: name one or remove the member")
	}
	seen := map[string]bool{}
	for i := range e.plugins {
		plugin := &e.plugins[i]
		if err := checkPluginName(plugin.Name); err != nil {
			return err
		}
		if seen[plugin.Name] {
			return fmt.Errorf("plugin %q is listed twice: put all its checks into one entry", plugin.Name)
		}
		seen[plugin.Name] = true
		if plugin.MinVersion != "" {
			if _, err := semver.Parse(plugin.MinVersion); err != nil {
				return fmt.Errorf("minVersion of plugin %q: %w", plugin.Name, err)
			}
		}
		if err := plugin.parseChecks(parsed.Level); err != nil {
			return fmt.Errorf("checks of plugin %q: %w", plugin.Name, err)
		}
		parsed.VerificationPlugins = append(parsed.VerificationPlugins, plugin.VerificationPlugin)
	}
	return nil
}

func (p *verificationPlugin) parseChecks(level Level) error {
	if len(p.checks) == 0 {
		return fmt.Errorf("none is given, supported values are %q", pluginChecks)
	}
	for _, name := range p.checks {
		check := Check(name)
		switch {
		case !slices.Contains(pluginChecks, check):
			return fmt.Errorf("%q is not a check that a plugin can make, supported values are %q", name, pluginChecks)
		case slices.Contains(p.Checks, check):
			return fmt.Errorf("%q is listed twice", name)
		case level.Action(check) == ActionSkip:
			return fmt.Errorf("%q is skipped by the signatureVerification of the same statement: let it enforce or log the check", name)
		}
		p.Checks = append(p.Checks, check)
	}
	return nil
}

func (e *extensions) parseSignaturePlugins(parsed *Statement) error {
	switch {
	case e.signatureMode == "any":
		return nil
	case e.signatureMode == "none":
		parsed.SignaturePlugins = SignaturePlugins{restricted: true}
		return nil
	case e.signaturePlugins == nil && e.signatureMode == "":
		return errors.New(`it is empty, use "any", "none" or an array of plugin names`)
	case e.signaturePlugins == nil:
		return fmt.Errorf(`%q is not a value, use "any", "none" or an array of plugin names`, e.signatureMode)
	}
	for i, name := range e.signaturePlugins {
		if err := checkPluginName(name); err != nil {
			return err
		}
		if slices.Contains(e.signaturePlugins[:i], name) {
			return fmt.Errorf("plugin %q is listed twice", name)
		}
	}
	parsed.SignaturePlugins = SignaturePlugins{restricted: true, names: e.signaturePlugins}
	return nil
}

// checkPluginName holds the grammar of plugin names, wherever they come from.
func checkPluginName(name string) error {
	if name == "" {
		return errors.New("a plugin has no name")
	}
	if !ValidName(name) {
		return fmt.Errorf("plugin name %q needs to follow [a-zA-Z0-9_.-]+ format and be neither . nor ..", shorten(name))
	}
	return nil
}

func (e *extensions) parseThreshold(parsed *Statement) error {
	t := e.threshold
	if t.Distinct == "" {
		t.Distinct = DistinctIdentity
	}
	switch {
	case t.Signatures < 1:
		return fmt.Errorf("signatures must be 1 or more, not %d", t.Signatures)
	case t.Distinct != DistinctIdentity && t.Distinct != DistinctRoot:
		return fmt.Errorf("distinct is %q, use %q or %q", t.Distinct, DistinctIdentity, DistinctRoot)
	case parsed.Identities.Any():
		return errors.New("signers cannot be told apart by the trusted identity '*': list the identities that may sign")
	case t.Signatures > len(parsed.TrustedIdentities):
		return fmt.Errorf("signatures is %d and trustedIdentities has %d: each signature must match another identity, so it can never be met", t.Signatures, len(parsed.TrustedIdentities))
	}
	parsed.Threshold = &t
	return nil
}
