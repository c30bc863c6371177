package trust

import (
	"fmt"
	"maps"
	"slices"
)

// Check names one of the checks that a verification level governs.
type Check string

// The checks of the specification.
const (
	CheckIntegrity          Check = "integrity"
	CheckAuthenticity       Check = "authenticity"
	CheckAuthenticTimestamp Check = "authenticTimestamp"
	CheckExpiry             Check = "expiry"
	CheckRevocation         Check = "revocation"
)

// Action says what a failed check leads to.
type Action string

// The actions of the specification.
const (
	// ActionEnforce: a failure fails the signature.
	ActionEnforce Action = "enforce"
	// ActionLog: a failure is reported and verification goes on.
	ActionLog Action = "log"
	// ActionSkip: the check is not made.
	ActionSkip Action = "skip"
)

// Level is a verification level with its overrides applied: an action for each
// check.
type Level struct {
	// Name is strict, permissive, audit or skip, or custom with overrides.
	Name    string
	actions [5]Action // in the order of checkIndex
}

// Action returns what level l does about a check.
func (l Level) Action(c Check) Action {
	if i := checkIndex(c); i >= 0 {
		return l.actions[i]
	}
	return ActionEnforce
}

// Skip tells whether nothing is verified at all.
func (l Level) Skip() bool { return l.Action(CheckIntegrity) == ActionSkip }

func checkIndex(c Check) int {
	return slices.Index([]Check{CheckIntegrity, CheckAuthenticity, CheckAuthenticTimestamp, CheckExpiry, CheckRevocation}, c)
}

// levels is the table of trust-store-trust-policy.md, Signature Verification
// details: integrity, authenticity, authenticTimestamp, expiry, revocation.
var levels = map[string][5]Action{
	"strict":     {ActionEnforce, ActionEnforce, ActionEnforce, ActionEnforce, ActionEnforce},
	"permissive": {ActionEnforce, ActionEnforce, ActionLog, ActionLog, ActionLog},
	"audit":      {ActionEnforce, ActionLog, ActionLog, ActionLog, ActionLog},
	"skip":       {ActionSkip, ActionSkip, ActionSkip, ActionSkip, ActionSkip},
}

// newLevel applies overrides to a named level (TP-08, TP-09).
func newLevel(name string, overrides map[string]string) (Level, error) {
	actions, ok := levels[name]
	if !ok {
		return Level{}, fmt.Errorf("invalid signature verification level %q: use strict, permissive, audit or skip", name)
	}
	level := Level{Name: name, actions: actions}
	if len(overrides) == 0 {
		return level, nil
	}
	if level.Skip() {
		return Level{}, fmt.Errorf("signature verification level %q can't be used to customize signature verification", name)
	}
	for _, key := range slices.Sorted(maps.Keys(overrides)) {
		check, action := Check(key), Action(overrides[key])
		allowed := []Action{ActionEnforce, ActionLog}
		switch check {
		case CheckAuthenticity, CheckAuthenticTimestamp, CheckExpiry:
		case CheckRevocation:
			allowed = append(allowed, ActionSkip)
		case CheckIntegrity:
			return Level{}, fmt.Errorf("%q verification can not be overridden in custom signature verification", key)
		default:
			return Level{}, fmt.Errorf("verification type %q in custom signature verification is not supported, supported values are [authenticity authenticTimestamp expiry revocation]", key)
		}
		if !slices.Contains(allowed, action) {
			return Level{}, fmt.Errorf("verification action %q for %q is not supported, supported values are %v", action, key, allowed)
		}
		level.actions[checkIndex(check)] = action
	}
	level.Name = "custom"
	return level, nil
}
