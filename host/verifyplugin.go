package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/semver"
	"github.com/signet-project/signet/host/trust"
	"github.com/signet-project/signet/protocol"
)

// verificationPlugin is the plugin that a signature names.
type verificationPlugin struct {
	client       *protocol.Client
	capabilities []protocol.Capability // of the verifier kind
}

// decides tells whether the plugin takes a check off the host (PLG-53).
func (p *verificationPlugin) decides(capability protocol.Capability) bool {
	return p != nil && slices.Contains(p.capabilities, capability)
}

// verifierCapabilities are those that a verification plugin can have.
var verifierCapabilities = []protocol.Capability{
	protocol.CapabilityTrustedIdentityVerifier, protocol.CapabilityRevocationCheckVerifier,
}

// openPlugin finds the plugin that the signature names and asks it what it can do.
// Nothing is run because of a chain that no trust store vouches for: such a signature
// fails here, since the attributes that name the plugin are critical. A signature
// without a plugin fails when it has critical attributes that the host does not know
// (ENV-21, ENV-45).
func (j *job) openPlugin(ctx context.Context) error {
	env := j.envelope
	if env == nil {
		return errors.New("the signature was not read")
	}
	names, _, err := criticalNames(env)
	if err != nil {
		return err
	}
	if env.VerificationPlugin == "" {
		if env.VerificationPluginMinVersion != "" {
			names = append(names, "io.cncf.notary.verificationPluginMinVersion")
		}
		if len(names) != 0 {
			return &CriticalAttributesError{Names: names}
		}
		return nil
	}
	name := env.VerificationPlugin
	if !plugin.ValidName(name) {
		return &PluginLocateError{brief(name), &plugin.NameError{Name: brief(name)}}
	}
	if !j.anchored() {
		return &PluginVerifyError{Plugin: name, Err: errors.New("not run: " + notAnchored)}
	}
	if !j.statement.SignaturePlugins.Allow(name) {
		return &PluginVerifyError{Plugin: name, Err: fmt.Errorf("not run: the trust policy statement %q lets signatures call for the plugins: %s", j.statement.Name, j.statement.SignaturePlugins)}
	}
	j.plugin, err = j.findPlugin(ctx, trust.VerificationPlugin{Name: name, MinVersion: env.VerificationPluginMinVersion, PluginConfig: j.config})
	return err
}

// findPlugin locates a plugin and checks its version and capabilities
// (PLG-40..43). An error fails the signature at every level.
func (j *job) findPlugin(ctx context.Context, wanted trust.VerificationPlugin) (*verificationPlugin, error) {
	name := wanted.Name
	if j.verifier.Plugins == nil {
		return nil, &PluginLocateError{name, errors.New("this verifier has no plugins")}
	}
	client, err := j.verifier.Plugins.Get(ctx, name)
	if err != nil {
		return nil, &PluginLocateError{name, err}
	}
	metadata, err := client.GetMetadata(ctx, &protocol.GetMetadataRequest{PluginConfig: wanted.PluginConfig})
	if err != nil {
		return nil, &PluginVerifyError{Plugin: name, Err: err}
	}
	j.outcome.Plugins = append(j.outcome.Plugins, PluginUse{Name: name, Version: metadata.Version})
	version, err := semver.Parse(metadata.Version)
	if err != nil {
		return nil, fmt.Errorf("plugin %s has pluginVersion %s which is not in valid semver format", name, metadata.Version)
	}
	if wanted.MinVersion != "" {
		minimum, err := semver.Parse(wanted.MinVersion)
		if err != nil {
			return nil, fmt.Errorf("the signature asks for version %q of plugin %s, which is not in valid semver format", wanted.MinVersion, name)
		}
		if version.Compare(minimum) < 0 {
			return nil, fmt.Errorf("found plugin %s with version %s but signature verification needs plugin version greater than or equal to %s", name, metadata.Version, wanted.MinVersion)
		}
	}
	plugin := &verificationPlugin{client: client}
	for _, capability := range verifierCapabilities {
		if slices.Contains(metadata.Capabilities, capability) {
			plugin.capabilities = append(plugin.capabilities, capability)
		}
	}
	if len(plugin.capabilities) == 0 {
		return nil, fmt.Errorf("digital signature requires plugin %q with signature verification capabilities (%q and/or %q) installed", name, verifierCapabilities[0], verifierCapabilities[1])
	}
	return plugin, nil
}

// callPlugin has the signature's plugin make the checks it is there for
// (PLG-44..55) and requires that it processes the critical attributes the host
// does not know.
func (j *job) callPlugin(ctx context.Context) error {
	if j.plugin == nil {
		return nil
	}
	names, values, err := criticalNames(j.envelope)
	if err != nil {
		return err
	}
	var requested []protocol.Capability
	for _, capability := range j.plugin.capabilities {
		if j.statement.Level.Action(checkOf(capability)) != trust.ActionSkip {
			requested = append(requested, capability)
		}
	}
	if len(requested) == 0 {
		if len(names) != 0 {
			return &CriticalAttributesError{Names: names}
		}
		return nil
	}
	for _, capability := range requested {
		j.outcome.Result(checkOf(capability)).Detail = "decided by plugin " + j.plugin.client.Name()
	}
	return j.ask(ctx, j.plugin.client, j.verifyRequest(requested, names, values, j.config))
}

// callRequired has the plugins that the trust policy demands make their checks,
// which add to those made before (spec/extensions.md, "verificationPlugins"). What
// keeps one from answering fails the signature at every level; its answer counts
// as the statement has it for the check.
func (j *job) callRequired(ctx context.Context) error {
	for _, wanted := range j.statement.VerificationPlugins {
		if err := j.require(ctx, wanted); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) require(ctx context.Context, wanted trust.VerificationPlugin) error {
	if !j.anchored() {
		return &PluginVerifyError{Plugin: wanted.Name, Err: errors.New("the trust policy demands its check, which was not run: " + notAnchored)}
	}
	plugin, err := j.findPlugin(ctx, wanted)
	if err != nil {
		return err
	}
	j.outcome.Plugins[len(j.outcome.Plugins)-1].Required = true
	var requested []protocol.Capability
	for _, capability := range verifierCapabilities {
		if !slices.Contains(wanted.Checks, checkOf(capability)) {
			continue
		}
		if !plugin.decides(capability) {
			return &PluginVerifyError{Plugin: wanted.Name, Err: fmt.Errorf("the trust policy demands its check of %s, but the plugin lacks the capability %s", checkOf(capability), capability)}
		}
		requested = append(requested, capability)
	}
	_, values, err := criticalNames(j.envelope)
	if err != nil {
		return err
	}
	return j.ask(ctx, plugin.client, j.verifyRequest(requested, nil, values, wanted.PluginConfig))
}

// ask calls verify-signature and records the verdict on each capability.
func (j *job) ask(ctx context.Context, client *protocol.Client, request *protocol.VerifySignatureRequest) error {
	answer, err := client.VerifySignature(ctx, request)
	if err != nil {
		return &PluginVerifyError{Plugin: client.Name(), Err: err}
	}
	for _, capability := range request.TrustPolicy.SignatureVerification {
		err := j.check(checkOf(capability), func() error {
			return verdict(client.Name(), capability, answer.VerificationResults[capability])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkOf is the check that a verifier capability makes.
func checkOf(capability protocol.Capability) trust.Check {
	if capability == protocol.CapabilityRevocationCheckVerifier {
		return trust.CheckRevocation
	}
	return trust.CheckAuthenticity
}

// verdict turns a plugin's answer on one check into an error (PLG-52).
func verdict(plugin string, capability protocol.Capability, result *protocol.VerificationResult) error {
	switch {
	case result.Success:
		return nil
	case capability == protocol.CapabilityTrustedIdentityVerifier:
		return fmt.Errorf("trusted identify verification by plugin %q failed with reason %q", plugin, result.Reason)
	default:
		return fmt.Errorf("revocation check by verification plugin %q failed with reason %q", plugin, result.Reason)
	}
}

// verifyRequest tells a plugin what it needs to know of the signature.
func (j *job) verifyRequest(requested []protocol.Capability, unprocessed []string, values map[string]any, config map[string]string) *protocol.VerifySignatureRequest {
	env := j.envelope
	critical := protocol.CriticalAttributes{
		ContentType:                  env.ContentType,
		SigningScheme:                string(env.Scheme),
		VerificationPlugin:           env.VerificationPlugin,
		VerificationPluginMinVersion: env.VerificationPluginMinVersion,
		ExtendedAttributes:           values,
	}
	if !env.Expiry.IsZero() {
		critical.Expiry = env.Expiry.Format(time.RFC3339)
	}
	if env.Scheme == envelope.SchemeSigningAuthority {
		critical.AuthenticSigningTime = env.SigningTime.Format(time.RFC3339)
	}
	return &protocol.VerifySignatureRequest{
		Signature: protocol.Signature{
			CriticalAttributes:    critical,
			UnprocessedAttributes: append([]string{}, unprocessed...),
			CertificateChain:      rawChain(env.Certificates),
		},
		TrustPolicy: protocol.TrustPolicy{
			TrustedIdentities:     append([]string{}, j.statement.TrustedIdentities...),
			SignatureVerification: requested,
		},
		PluginConfig: config,
		Artifact: &protocol.Artifact{
			Reference: j.reference,
			MediaType: j.outcome.Target.MediaType,
			Digest:    j.outcome.Target.Digest.String(),
			Size:      j.outcome.Target.Size,
		},
	}
}
