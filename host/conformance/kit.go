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
		Path: k.opts.Path, Metadata: &k.claims, Results: k.results(),
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

	mu          sync.Mutex
	verdicts    map[string]*Result
	silent      map[string]bool // commands that did not answer in time
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
		verdicts: map[string]*Result{}, silent: map[string]bool{},
	}
	k.opts.Environ = append(slices.Clone(opts.Environ), canaryVariable+"="+k.canary)
	k.opts.Secrets = append(slices.Clone(opts.Secrets), k.canary)
	return k
}

// transport reaches the plugin with an environment.
func (k *kit) transport(environ []string) *stdio.Transport {
	return &stdio.Transport{Path: k.opts.Path, Env: environ, Timeout: k.opts.Timeout, Grace: k.opts.Grace}
}

// expect notes whether a clause holds; a clause that failed once has failed.
func (k *kit) expect(id string, holds bool, expected, seen string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	result := k.verdict(id)
	switch {
	case result.Verdict == Failed:
	case !holds:
		result.Verdict, result.Reason, result.Expected, result.Seen = Failed, "", expected, excerpt(seen)
	default:
		result.Verdict, result.Reason = Passed, ""
	}
	return holds
}

// leave notes why clauses that have no verdict so far are left without; ids may
// be prefixes that end with a dot.
func (k *kit) leave(verdict Verdict, reason string, ids ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range clauses {
		named := slices.ContainsFunc(ids, func(id string) bool {
			return c.ID == id || strings.HasSuffix(id, ".") && strings.HasPrefix(c.ID, id)
		})
		if result := k.verdict(c.ID); named && result.Verdict == "" {
			result.Verdict, result.Reason = verdict, excerpt(reason)
		}
	}
}

// passed tells whether a clause holds so far.
func (k *kit) passed(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.verdict(id).Verdict == Passed
}

// verdict finds or makes the result of a clause; the caller holds the lock.
func (k *kit) verdict(id string) *Result {
	if k.verdicts[id] == nil {
		i := slices.IndexFunc(clauses, func(c Clause) bool { return c.ID == id })
		if i < 0 {
			panic("conformance: no clause " + id)
		}
		k.verdicts[id] = &Result{Clause: clauses[i]}
	}
	return k.verdicts[id]
}

// results lists the verdicts in the order of clauses.
func (k *kit) results() []Result {
	k.leave(NotRun, "nothing came up to judge it by", allGroups()...)
	results := make([]Result, len(clauses))
	for i, c := range clauses {
		results[i] = *k.verdicts[c.ID]
	}
	return results
}

// allGroups lists the prefixes of all clauses.
func allGroups() []string {
	var groups []string
	for _, c := range clauses {
		group, _, _ := strings.Cut(c.ID, ".")
		groups = append(groups, group+".")
	}
	return groups
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
func excerpt(text string) string {
	const limit = 400 // bytes
	if len(text) > limit {
		return oneLine(strings.ToValidUTF8(text[:limit], "")) + "…"
	}
	return oneLine(text)
}

// oneLine replaces what steers a terminal.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "�")))
}

// sent describes a request for a report.
func sent(command protocol.Command, what string) string {
	return fmt.Sprintf("%s with %s", command, what)
}
