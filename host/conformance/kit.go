package conformance

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/oneline"
	"github.com/signet-project/signet/protocol/stdio"
)

// The values that zero fields of Options stand for.
const (
	DefaultTimeout  = time.Minute
	DefaultGrace    = 5 * time.Second
	DefaultParallel = 8
)

// Options say what is judged. Path alone is required.
type Options struct {
	// Path is the executable.
	Path string
	// Keys are ids of signing keys that the plugin can use. Without any, what
	// takes a key is not run. One of each key spec the plugin claims is best.
	Keys []string
	// UnknownKey is the id of a key that does not exist; empty for one made from
	// the first of Keys.
	UnknownKey string
	// Config is the plugin configuration of every request.
	Config map[string]string
	// Environ is the plugin's environment, "NAME=value" each.
	Environ []string
	// Secrets must not turn up in anything the plugin writes.
	Secrets []string
	// Timeout bounds each call, and Grace how long a plugin may take to end after
	// SIGTERM.
	Timeout, Grace time.Duration
	// Parallel is how many calls are made at once to see whether they disturb
	// each other.
	Parallel int
	// Logger gets each invocation at level debug; nil logs nothing.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Run judges a plugin. It takes some hundred invocations. The error says that ctx
// was done before the end, or that there was no randomness to be had; whatever the
// plugin does is in the report.
func Run(ctx context.Context, opts Options) (*Report, error) {
	k := newKit(opts)
	var err error
	if k.chain, err = newChain(k.opts.Now()); err != nil {
		return nil, fmt.Errorf("make certificates to ask about: %w", err)
	}
	started := time.Now()
	if k.file(ctx) && k.metadata(ctx) {
		k.describe(ctx)
		k.versions(ctx)
		k.requests(ctx)
		k.process(ctx)
		k.sign(ctx)
		k.envelopes(ctx)
		k.verify(ctx)
		k.session(ctx)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return &Report{
		Path: k.opts.Path, Metadata: &k.claims, Keys: k.keys(), Results: k.results(), Advice: k.advice(),
		Invocations: k.invocations, Started: k.opts.Now(), Took: time.Since(started),
	}, nil
}

// kit is one run.
type kit struct {
	opts   Options
	name   string // of the file, less notation-
	canary string // a secret that only the kit knows
	chain  [][]byte
	claims protocol.Metadata
	// described has the keys that describe-key was answered for.
	described map[string]description
	// single tells that a chain of one certificate came back.
	single bool

	mu          sync.Mutex
	judged      map[string]map[string]*judgment // by clause and key id; "" for no key
	silent      map[string]bool                 // commands that did not answer in time
	invocations int
}

// canaryVariable holds a secret in the plugin's environment.
const canaryVariable = "SIGNET_CONFORMANCE_SECRET"

func newKit(opts Options) *kit {
	if absolute, err := filepath.Abs(opts.Path); err == nil {
		opts.Path = absolute
	}
	opts.Timeout = cmp.Or(opts.Timeout, DefaultTimeout)
	opts.Grace = cmp.Or(opts.Grace, DefaultGrace)
	opts.Parallel = cmp.Or(opts.Parallel, DefaultParallel)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	k := &kit{
		opts: opts, canary: "secret-" + rand.Text(), described: map[string]description{},
		judged: map[string]map[string]*judgment{}, silent: map[string]bool{},
	}
	k.opts.Environ = append(slices.Clone(opts.Environ), canaryVariable+"="+k.canary)
	k.opts.Secrets = append(slices.Clone(opts.Secrets), k.canary)
	return k
}

// transport reaches the plugin with an environment.
func (k *kit) transport(environ []string) *stdio.Transport {
	return &stdio.Transport{Path: k.opts.Path, Env: environ, Timeout: k.opts.Timeout, Grace: k.opts.Grace}
}

// keys lists the keys given with what is known of them.
func (k *kit) keys() []Key {
	var keys []Key
	for _, id := range k.opts.Keys {
		keys = append(keys, Key{id, k.described[id].suite.KeySpec})
	}
	return keys
}

// advice says what to try besides, of a plugin that signs.
func (k *kit) advice() []string {
	if len(k.described) == 0 || !k.can(protocol.CapabilitySignatureGenerator) {
		return nil
	}
	var advice, missing []string
	for _, spec := range []protocol.KeySpec{protocol.KeySpecRSA2048, protocol.KeySpecRSA3072, protocol.KeySpecRSA4096, protocol.KeySpecEC256, protocol.KeySpecEC384, protocol.KeySpecEC521} {
		if !slices.ContainsFunc(k.keys(), func(key Key) bool { return key.Spec == spec }) {
			missing = append(missing, string(spec))
		}
	}
	if len(missing) > 0 {
		advice = append(advice, fmt.Sprintf("No key of %s was given: if the plugin supports them, judge it with one of each.", strings.Join(missing, ", ")))
	}
	if !k.single {
		advice = append(advice, "No chain of one self-signed certificate came back: judge the plugin with a key that has one, too; ready-made issuer checks refuse such chains.")
	}
	return advice
}

// can tells whether the plugin claims a capability.
func (k *kit) can(capabilities ...protocol.Capability) bool {
	return slices.ContainsFunc(capabilities, func(c protocol.Capability) bool {
		return slices.Contains(k.claims.Capabilities, c)
	})
}

// commands lists what the plugin answers besides get-plugin-metadata, as far as
// its capabilities tell.
func (k *kit) commands() []protocol.Command {
	var commands []protocol.Command
	if k.can(protocol.CapabilitySignatureGenerator, protocol.CapabilityBlobEnvelopeGenerator) {
		commands = append(commands, protocol.CommandDescribeKey)
	}
	if k.can(protocol.CapabilitySignatureGenerator) {
		commands = append(commands, protocol.CommandGenerateSignature)
	}
	if k.can(protocol.CapabilityEnvelopeGenerator, protocol.CapabilityBlobEnvelopeGenerator) {
		commands = append(commands, protocol.CommandGenerateEnvelope)
	}
	if k.can(protocol.CapabilityTrustedIdentityVerifier, protocol.CapabilityRevocationCheckVerifier) {
		commands = append(commands, protocol.CommandVerifySignature)
	}
	return commands
}

// excerpt makes a text of the plugin's fit for a report: one line, bounded.
func excerpt(text string) string { return oneline.Of(text, 400) }

// sent describes a request for a report.
func sent(command protocol.Command, what string) string {
	return fmt.Sprintf("%s with %s", command, what)
}
