package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signet-project/signet/host/envelope"
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

// openPlugin finds the plugin that the signature names and asks it what it can
// do. An unanchored chain names nothing that is run (design invariant): such a
// signature fails here, since the attributes that name the plugin are critical.
// A signature without a plugin fails when it has critical attributes nobody
// knows (ENV-21, ENV-45).
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
	if !j.anchored {
		return &PluginVerifyError{Plugin: name, Err: errors.New("not run: " + notAnchored)}
	}
	plugin, err := j.findPlugin(ctx, name)
	if err != nil {
		return err
	}
	j.plugin = plugin
	return nil
}

// findPlugin locates the plugin and checks its version and capabilities
// (PLG-40..43). An error fails the signature at every level.
func (j *job) findPlugin(ctx context.Context, name string) (*verificationPlugin, error) {
	if j.verifier.Plugins == nil {
		return nil, locateError(name, errors.New("this verifier has no plugins"))
	}
	client, err := j.verifier.Plugins.Get(ctx, name)
	if err != nil {
		return nil, locateError(name, err)
	}
	metadata, err := client.GetMetadata(ctx, &protocol.GetMetadataRequest{PluginConfig: j.config})
	if err != nil {
		return nil, &PluginVerifyError{Plugin: name, Err: err}
	}
	j.outcome.Plugins = append(j.outcome.Plugins, PluginUse{Name: name, Version: metadata.Version})
	version, err := semver.Parse(metadata.Version)
	if err != nil {
		return nil, fmt.Errorf("plugin %s has pluginVersion %s which is not in valid semver format", name, metadata.Version)
	}
	if wanted := j.envelope.VerificationPluginMinVersion; wanted != "" {
		minimum, err := semver.Parse(wanted)
		if err != nil {
			return nil, fmt.Errorf("the signature asks for version %q of plugin %s, which is not in valid semver format", wanted, name)
		}
		if version.Compare(minimum) < 0 {
			return nil, fmt.Errorf("found plugin %s with version %s but signature verification needs plugin version greater than or equal to %s", name, metadata.Version, wanted)
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

func locateError(name string, err error) error {
	return fmt.Errorf("error while locating the verification plugin %q, make sure the plugin is installed successfully before verifying the signature. error: %w", name, err)
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
	answer, err := j.plugin.client.VerifySignature(ctx, j.verifyRequest(requested, names, values))
	if err != nil {
		return &PluginVerifyError{Plugin: j.plugin.client.Name(), Err: err}
	}
	for _, capability := range requested {
		check := checkOf(capability)
		j.outcome.Result(check).Detail = "decided by plugin " + j.plugin.client.Name()
		err := j.outcome.run(check, j.verifier.now, func() error {
			return verdict(j.plugin.client.Name(), capability, answer.VerificationResults[capability])
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
func (j *job) verifyRequest(requested []protocol.Capability, unprocessed []string, values map[string]any) *protocol.VerifySignatureRequest {
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
	request := &protocol.VerifySignatureRequest{
		Signature: protocol.Signature{
			CriticalAttributes:    critical,
			UnprocessedAttributes: append([]string{}, unprocessed...),
			CertificateChain:      rawChain(env.Certificates),
		},
		TrustPolicy: protocol.TrustPolicy{
			TrustedIdentities:     append([]string{}, j.statement.TrustedIdentities...),
			SignatureVerification: requested,
		},
		PluginConfig: j.config,
		Artifact: &protocol.Artifact{
			Reference: j.reference,
			MediaType: j.outcome.Target.MediaType,
			Digest:    j.outcome.Target.Digest.String(),
			Size:      j.outcome.Target.Size,
		},
	}
	return request
}
