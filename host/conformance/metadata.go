package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/signet-project/signet/host/plugin"
	"github.com/signet-project/signet/host/semver"
	"github.com/signet-project/signet/protocol"
)

// file judges the executable; false when it cannot be run.
func (k *kit) file(context.Context) bool {
	base := filepath.Base(k.opts.Path)
	name, _ := strings.CutPrefix(strings.TrimSuffix(base, ".exe"), protocol.BinaryPrefix)
	k.name = name
	if !k.expect("file.name", plugin.ValidName(name) && plugin.BinaryName(name) == base, "a file called "+plugin.BinaryName("{name}"), base) {
		k.leave(NotRun, "the file has no plugin's name", "metadata.name")
	}

	info, err := os.Lstat(k.opts.Path)
	if err != nil {
		k.leave(NotRun, "there is no file to judge", allGroups()...)
		return k.expect("file.executable", false, "a file", err.Error())
	}
	expected := "a regular file that its user may execute"
	if info.Mode()&os.ModeSymlink != 0 {
		k.expect("file.executable", false, expected, "a symbolic link")
		info, err = os.Stat(k.opts.Path)
	}
	usable := err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode().Perm()&0o100 != 0)
	if !usable {
		k.leave(NotRun, "the file cannot be executed", allGroups()...)
		return k.expect("file.executable", false, expected, fmt.Sprintf("mode %v", info.Mode()))
	}
	return k.expect("file.executable", true, "", "")
}

// metadata judges get-plugin-metadata; false when nothing more can be judged,
// because it is not known what the plugin claims.
func (k *kit) metadata(ctx context.Context) bool {
	r := k.ask(ctx, protocol.CommandGetMetadata, fields{"contractVersion": protocol.ContractVersion})
	if r.fault == "" {
		k.expect("metadata.answers", r.answer != nil, "an answer", r.String())
	}
	if r.answer == nil {
		k.leave(NotRun, "get-plugin-metadata gave no answer", allGroups()...)
		return false
	}
	members := k.metadataMembers(r)
	k.metadataValues(members)
	k.sameMetadata(ctx, r.answer)
	if len(k.commands()) == 0 {
		k.leave(NotRun, "the plugin claims no capability of the contract", allGroups()...)
		return false
	}
	return true
}

// metadataMembers judges presence and types, reads what is sound into k.claims,
// and returns the names of those members.
func (k *kit) metadataMembers(r *reply) map[string]bool {
	members := r.members()
	sound := map[string]bool{}
	var faults []string
	for name, value := range map[string]any{
		"name": &k.claims.Name, "description": &k.claims.Description, "version": &k.claims.Version, "url": &k.claims.URL,
		"supportedContractVersions": &k.claims.SupportedContractVersions, "capabilities": &k.claims.Capabilities,
		"transports": &k.claims.Transports, "extensions": &k.claims.Extensions,
	} {
		optional := name == "transports" || name == "extensions"
		text := members[name]
		switch empty := len(text) == 0 || slices.Contains([]string{"null", `""`, "[]"}, string(text)); {
		case empty && !optional:
			faults = append(faults, name+" is absent or empty")
		case !empty && json.Unmarshal(text, value) != nil:
			faults = append(faults, fmt.Sprintf("%s is %s", name, head(text)))
		case !empty:
			sound[name] = true
		}
	}
	slices.Sort(faults)
	k.expect("metadata.members", len(faults) == 0, "name, description, version and url as strings, supportedContractVersions and capabilities as arrays of strings", strings.Join(faults, "; "))
	return sound
}

// metadataValues judges the members that are sound.
func (k *kit) metadataValues(sound map[string]bool) {
	if sound["name"] && k.passed("file.name") {
		k.expect("metadata.name", k.claims.Name == k.name, fmt.Sprintf("name %q, from the file's", k.name), fmt.Sprintf("name %q", k.claims.Name))
	}
	if sound["version"] {
		_, err := semver.Parse(k.claims.Version)
		k.expect("metadata.version", err == nil, "a semantic version such as 1.2.0", fmt.Sprintf("version %q", k.claims.Version))
	}
	if sound["supportedContractVersions"] {
		k.contractVersions(k.claims.SupportedContractVersions)
	}
	if sound["capabilities"] {
		k.expect("metadata.capabilities", len(k.commands()) > 0 && !repeats(k.claims.Capabilities), "capabilities of the contract, each once", fmt.Sprintf("capabilities %q", k.claims.Capabilities))
	}
}

// contractVersions judges what the plugin speaks.
func (k *kit) contractVersions(versions []string) {
	var majors []string
	for _, version := range versions {
		major, _, _ := strings.Cut(version, ".")
		majors = append(majors, major)
	}
	spoken := slices.Contains(versions, protocol.ContractVersion)
	k.expect("metadata.contract", spoken && !repeats(majors), fmt.Sprintf("%q, and one entry for each major version", protocol.ContractVersion), fmt.Sprintf("supportedContractVersions %q", versions))
}

// repeats tells whether a list has an entry twice.
func repeats[T comparable](list []T) bool {
	seen := map[T]bool{}
	for _, entry := range list {
		if seen[entry] {
			return true
		}
		seen[entry] = true
	}
	return false
}

// sameMetadata judges that the answer depends on nothing. What a clause is about
// is left alone when a clause before has shown that the answer varies anyway.
func (k *kit) sameMetadata(ctx context.Context, answer []byte) {
	want := canonical(answer)
	request := fields{"contractVersion": protocol.ContractVersion}
	same := func(id string, environ []string, request fields, what string) bool {
		r := k.invokeIn(ctx, environ, string(protocol.CommandGetMetadata), bytes.NewReader(request.encode()))
		return k.expect(id, canonical(r.answer) == want, "the same answer "+what, r.String())
	}
	const calls = 3
	for range calls {
		if !same("metadata.stable", k.opts.Environ, request, "as a moment ago") {
			k.leave(NotRun, "the answer is another one each time", "metadata.")
			return
		}
	}
	same("metadata.empty-request", k.opts.Environ, fields{}, "to the request {}")
	same("metadata.any-version", k.opts.Environ, fields{"contractVersion": "99.0"}, `to contractVersion "99.0"`)
	same("metadata.configuration", k.opts.Environ, request.with(fields{"pluginConfig": map[string]string{"com.example.conformance": "x"}}), "with an unknown name in pluginConfig")
	same("request.unknown-members", k.opts.Environ, request.with(unknownMembers), "to a request with unknown members")

	same("metadata.environment", bareEnvironment(k.opts.Environ), request, "with nothing but PATH in the environment")
	k.network(ctx, request)
}

// network judges that get-plugin-metadata calls nobody.
func (k *kit) network(ctx context.Context, request fields) {
	proxy, err := newProxy()
	if err != nil {
		k.leave(NotRun, "no port to listen on: "+err.Error(), "metadata.network")
		return
	}
	k.invokeIn(ctx, append(slices.Clone(k.opts.Environ), proxy.environ()...), string(protocol.CommandGetMetadata), bytes.NewReader(request.encode()))
	called, err := proxy.called()
	if err != nil {
		k.leave(NotRun, err.Error(), "metadata.network")
		return
	}
	k.expect("metadata.network", !called, "no connection", "a connection to the proxy that the environment names")
}

// canonical is JSON with its members in order; empty for none.
func canonical(text []byte) string {
	value := jsontext.Value(bytes.Clone(text))
	if value.Canonicalize() != nil {
		return ""
	}
	return string(value)
}

// bareEnvironment keeps what it takes to find an interpreter and start a process.
func bareEnvironment(environ []string) []string {
	bare := []string{}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		switch strings.ToUpper(name) {
		case "PATH", "SYSTEMROOT":
			bare = append(bare, entry)
		}
	}
	return bare
}

// proxy notices whether anybody calls.
type proxy struct {
	listener net.Listener
	callers  chan net.Addr
}

func newProxy() (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, callers: make(chan net.Addr)}
	go func() {
		defer close(p.callers)
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			conn.Close()
			p.callers <- conn.RemoteAddr()
		}
	}()
	return p, nil
}

// environ names the proxy in all the ways that programs look for one.
func (p *proxy) environ() []string {
	url := "http://" + p.listener.Addr().String()
	var environ []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		environ = append(environ, name+"="+url, strings.ToLower(name)+"="+url)
	}
	return environ
}

// called ends the proxy and tells whether anybody but us has made a connection:
// they are accepted in order, so that ours comes after any of the plugin's.
func (p *proxy) called() (bool, error) {
	defer func() {
		p.listener.Close()
		for range p.callers {
		}
	}()
	ours, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		return false, err
	}
	defer ours.Close()
	caller, accepted := <-p.callers
	if !accepted {
		return false, errors.New("no connection can be accepted here")
	}
	return caller.String() != ours.LocalAddr().String(), nil
}
