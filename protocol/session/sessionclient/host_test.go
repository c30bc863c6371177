package sessionclient_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/session/sessionclient"
)

// hostVariable makes the test binary a host of the plugin whose path it is.
const hostVariable = "SIGNET_TEST_HOST"

// beHost makes a call to the plugin and waits to be killed.
func beHost(path string) {
	if onTerminal(path) {
		os.Exit(0)
	}
	transport := &sessionclient.Transport{Timeout: patience, Stderr: os.Stderr, Open: func(context.Context) (*sessionclient.Program, error) {
		return &sessionclient.Program{Path: path}, nil
	}}
	_, err := protocol.NewClient("acme", transport).GetMetadata(context.Background(), nil)
	fmt.Println("called", err)
	select {}
}

// TestHostKilled makes sure that no process outlives a host killed hard, neither
// one with calls nor one that does not care about its stdin. It runs alone: what
// the host leaves must not become ours.
func TestHostKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]testplugin.Script{
		"idle":    {},
		"working": {Any: &testplugin.Reply{Hang: true}},
		"deaf":    {Session: &testplugin.Session{Deaf: true}, Any: &testplugin.Reply{Hang: true, IgnoreTerm: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "deaf" && !diesWithParent {
				return // a plugin that breaks the rules
			}
			p := install(t, script)
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), hostVariable+"="+p.program.Path)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, "the call", func() bool { return len(testplugin.Records(t, p.file("record"))) == 1 })
			cmd.Process.Kill()
			cmd.Wait()
			for _, pid := range p.noted(t) {
				until(t, fmt.Sprintf("the end of %d", pid), func() bool { return !exists(pid) })
			}
			if len(p.noted(t)) != 1 || strings.Contains(p.text.String(), "panic") {
				t.Error(p.noted(t), p.text.String())
			}
		})
	}
}
