package peers

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/signet-project/signet/host/envelope"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/protocol"
)

var formats = []envelope.Format{envelope.FormatJWS, envelope.FormatCOSE}

// somewhere makes a place of each kind that there is.
func somewhere(t testing.TB) map[string]func(testing.TB) *place {
	api, tags := withReferrers(t, 0), withoutReferrers(t, nil)
	return map[string]func(testing.TB) *place{
		"registry with Referrers API": func(t testing.TB) *place { return remotely(t, api, repository(t.Name())) },
		"registry without":            func(t testing.TB) *place { return remotely(t, tags, repository(t.Name())) },
		"layout":                      func(t testing.TB) *place { return locally(t) },
	}
}

// signers makes a signer for each key spec, all below one root.
func signers(t testing.TB) (root *testpki.Entity, all map[protocol.KeySpec]*testpki.Entity) {
	t.Helper()
	root = testpki.Root(t, "root")
	issuer := root.Intermediate(t, "intermediate")
	all = map[protocol.KeySpec]*testpki.Entity{}
	for _, spec := range testpki.Specs {
		all[spec] = issuer.Leaf(t, "signer", spec)
	}
	return root, all
}

// TestInterop has each implementation verify what the other one signed.
func TestInterop(t *testing.T) {
	t.Parallel()
	root, keys := signers(t)
	directory := newConfig(t, root, "ca:peers")
	ours, theirs := library{config: directory}, peer{config: directory}
	for where, at := range somewhere(t) {
		for _, spec := range testpki.Specs {
			for _, format := range formats {
				s := signing{keys[spec], format, 36 * time.Hour, map[string]string{"build": "42", "<team>": "Zürich & Ålesund"}}
				t.Run(fmt.Sprintf("%s, %s, %s, signet to notation-go", where, spec, format), func(t *testing.T) {
					t.Parallel()
					exchange(t, at(t), s, ours, theirs)
				})
				t.Run(fmt.Sprintf("%s, %s, %s, notation-go to signet", where, spec, format), func(t *testing.T) {
					t.Parallel()
					exchange(t, at(t), s, theirs, ours)
				})
			}
		}
	}
}

// TestInteropProgram does the same with the program, which has its own way to
// read keys, policies and references.
func TestInteropProgram(t *testing.T) {
	t.Parallel()
	root, keys := signers(t)
	directory := newConfig(t, root, "ca:peers")
	ours, theirs := program{newCommand(t, directory)}, peer{config: directory}
	for where, at := range somewhere(t) {
		for _, spec := range []protocol.KeySpec{protocol.KeySpecRSA2048, protocol.KeySpecEC384} {
			for _, format := range formats {
				s := signing{keys[spec], format, 2 * time.Hour, map[string]string{"build": "42"}}
				t.Run(fmt.Sprintf("%s, %s, %s, signet to notation-go", where, spec, format), func(t *testing.T) {
					t.Parallel()
					exchange(t, at(t), s, ours, theirs)
				})
				t.Run(fmt.Sprintf("%s, %s, %s, notation-go to signet", where, spec, format), func(t *testing.T) {
					t.Parallel()
					exchange(t, at(t), s, theirs, ours)
				})
			}
		}
	}
}

// exchange has one party sign and the other verify, which must find what was
// signed and miss what was not.
func exchange(t *testing.T, at *place, s signing, from, to party) {
	t.Helper()
	if err := from.sign(t, at, s); err != nil {
		t.Fatal("sign:", err)
	}
	got, err := to.verify(t, at, s.metadata)
	if err != nil {
		t.Fatal("verify:", err)
	}
	if want := s.want(t); !reflect.DeepEqual(*got, want) {
		t.Errorf("verified %+v\nwant     %+v", *got, want)
	}
	if _, err := to.verify(t, at, map[string]string{"build": "43"}); err == nil {
		t.Error("verified although the user metadata is another")
	}
}
