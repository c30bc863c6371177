// Package mutants is a family of plugins for the conformance kit: one that keeps
// every clause of the contract, and for each clause one or more that break just
// that clause.
//
// They are one program, the test binary itself, under many names. Its TestMain has
// to say so:
//
//	func TestMain(m *testing.M) { mutants.Become(); os.Exit(m.Run()) }
package mutants

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session"
)

// Conforming is the name of the plugin without a fault.
const Conforming = "mutant-none"

// Mutant is a plugin that breaks one clause.
type Mutant struct {
	// Name is the plugin's, with the fault in it.
	Name string
	// Clause is the id of the clause that it breaks.
	Clause string
	// Key is the spec of the key that shows it; empty for EC-256.
	Key protocol.KeySpec
	// claims are its capabilities; nil for what the faults around it take.
	claims []protocol.Capability
	// notOn is a system on which the kit cannot see the fault.
	notOn string
	// start is called first of all.
	start func()
	// session takes over when a session is to be opened; nil for a good one.
	session func(*Mutant) int
	// sessions tells that it offers sessions.
	sessions bool
	// change makes the fault out of an invocation that went well.
	change func(*call)
}

// All lists the mutants by name, less those that the kit cannot tell on this system.
func All() []Mutant {
	var all []Mutant
	add := func(faults map[string]map[string]Mutant, claims []protocol.Capability) {
		for clause, faults := range faults {
			for name, m := range faults {
				m.Clause, m.Name = clause, "mutant-"+clause+"-"+name
				m.Key = cmp.Or(m.Key, protocol.KeySpecEC256)
				if m.claims == nil {
					m.claims = claims
				}
				m.sessions = strings.HasPrefix(clause, "session.")
				if m.notOn != runtime.GOOS {
					all = append(all, m)
				}
			}
		}
	}
	add(faults, judging)
	add(signFaults, signing)
	add(envelopeFaults, whole)
	add(sessionFaults, judging)
	slices.SortFunc(all, func(a, b Mutant) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Become does what a mutant does and ends the process, if this process is one; it
// returns otherwise.
func Become() {
	base := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	_, rest, ok := strings.Cut(base, "mutant-")
	if !ok {
		return
	}
	mutant := Mutant{Name: "mutant-" + rest, claims: slices.Concat(signing, whole, judging), sessions: true}
	for _, m := range All() {
		if m.Name == mutant.Name {
			mutant = m
		}
	}
	if len(os.Args) > 1 && os.Args[1] == sleepCommand {
		sleep()
	}
	os.Exit(mutant.run())
}

// call is an invocation and what came of it, to be changed.
type call struct {
	name    string
	plugin  protocol.Plugin
	command protocol.Command
	// raw is the request as it came, and request what could be read of it.
	raw     []byte
	request map[string]any

	stdout, stderr []byte
	status         int
}

// run answers well, lets the fault change that, and writes what came of it.
func (m *Mutant) run() int {
	if m.start != nil {
		m.start()
	}
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	if command == session.Argument && m.sessions {
		return m.open()
	}
	request, _ := io.ReadAll(os.Stdin)
	c := m.answer(protocol.Command(command), request)
	if m.change != nil {
		m.change(c)
	}
	os.Stdout.Write(c.stdout)
	os.Stderr.Write(c.stderr)
	return c.status
}

// answer answers well.
func (m *Mutant) answer(command protocol.Command, request []byte) *call {
	c := &call{name: m.Name, plugin: m.plugin(), command: command, raw: request}
	_ = json.Unmarshal(request, &c.request)
	c.repeat(request)
	return c
}

// plugin is the mutant without its fault.
func (m *Mutant) plugin() protocol.Plugin {
	p := newPlugin(m.Name, m.claims)
	if m.sessions {
		return protocol.WithTransports(p, "stdio", session.Name)
	}
	return p
}

// repeat answers a request well.
func (c *call) repeat(request []byte) {
	var stdout, stderr bytes.Buffer
	c.status = protocol.Run(context.Background(), c.plugin, []string{"plugin", string(c.command)}, bytes.NewReader(request), &stdout, &stderr)
	c.stdout, c.stderr = stdout.Bytes(), stderr.Bytes()
}

// repeatWith answers the request with other members; nil takes one away.
func (c *call) repeatWith(changes map[string]any) {
	request := maps.Clone(c.request)
	if request == nil {
		request = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(request, name)
		} else {
			request[name] = value
		}
	}
	c.repeat(encode(request))
}

// answer returns the members of a good answer; nil when there is none.
func (c *call) answer() map[string]any {
	var members map[string]any
	if c.status == 0 {
		_ = json.Unmarshal(c.stdout, &members)
	}
	return members
}

// respond replaces whatever there was by an answer.
func (c *call) respond(members any) {
	c.stdout, c.stderr, c.status = encode(members), nil, 0
}

// fail replaces whatever there was by an error.
func (c *call) fail(code protocol.ErrorCode) {
	c.stdout, c.stderr, c.status = nil, encode(protocol.Errorf(code, "a mutant's error")), 1
}

// failure returns the error's code; empty for an answer.
func (c *call) failure() protocol.ErrorCode {
	var failure protocol.Error
	if c.status == 1 {
		_ = json.Unmarshal(c.stderr, &failure)
	}
	return failure.Code
}

func encode(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}
