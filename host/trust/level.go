package trust

import (
	"errors"
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

// Checks lists the checks in the order in which reports show them.
var Checks = []Check{CheckIntegrity, CheckAuthenticity, CheckExpiry, CheckAuthenticTimestamp, CheckRevocation}

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
// check. Levels can be compared with ==.
type Level struct {
	// Name is strict, permissive, audit or skip, or custom with overrides.
	Name    string
	actions [5]Action // in the order of checkIndex
}

// Action returns what level l does about a check; enforce for one it does not
// know, and for every check of the zero Level.
func (l Level) Action(c Check) Action {
	if i := checkIndex(c); i >= 0 && l.actions[i] != "" {
		return l.actions[i]
	}
	return ActionEnforce
}

// Skip tells whether nothing is verified at all.
func (l Level) Skip() bool { return l.Action(CheckIntegrity) == ActionSkip }

func checkIndex(c Check) int {
	switch c {
	case CheckIntegrity:
		return 0
	case CheckAuthenticity:
		return 1
	case CheckAuthenticTimestamp:
		return 2
	case CheckExpiry:
		return 3
	case CheckRevocation:
		return 4
	}
	return -1
}

// levels is the table of trust-store-trust-policy.md, Signature Verification
// details: integrity, authenticity, authenticTimestamp, expiry, revocation.
var levels = map[string][5]Action{
	"strict":     {ActionEnforce, ActionEnforce, ActionEnforce, ActionEnforce, ActionEnforce},
	"permissive": {ActionEnforce, ActionEnforce, ActionLog, ActionLog, ActionLog},
	"audit":      {ActionEnforce, ActionLog, ActionLog, ActionLog, ActionLog},
	"skip":       {ActionSkip, ActionSkip, ActionSkip, ActionSkip, ActionSkip},
}

// overridable lists the checks that a statement may override.
var overridable = []Check{CheckAuthenticity, CheckAuthenticTimestamp, CheckExpiry, CheckRevocation}

// newLevel applies overrides to a named level (TP-08, TP-09). Overrides, even
// those that change nothing, make the level custom.
func newLevel(name string, overrides map[string]string) (Level, error) {
	if name == "" {
		return Level{}, errors.New("signature verification level is empty or missing in the trust policy statement: use strict, permissive, audit or skip")
	}
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
		if err := checkOverride(check, action); err != nil {
			return Level{}, err
		}
		level.actions[checkIndex(check)] = action
	}
	level.Name = "custom"
	return level, nil
}

func checkOverride(check Check, action Action) error {
	switch {
	case check == CheckIntegrity:
		return fmt.Errorf("%q verification can not be overridden in custom signature verification", check)
	case !slices.Contains(overridable, check):
		return fmt.Errorf("verification type %q in custom signature verification is not supported, supported values are %q", check, overridable)
	case action == ActionEnforce, action == ActionLog, action == ActionSkip && check == CheckRevocation:
		return nil
	case action == ActionSkip:
		return fmt.Errorf("%q verification can not be skipped in custom signature verification: use enforce or log", check)
	}
	return fmt.Errorf("verification action %q in custom signature verification is not supported for %q, supported values are %q", action, check, allowedActions(check))
}

func allowedActions(check Check) []Action {
	if check == CheckRevocation {
		return []Action{ActionEnforce, ActionLog, ActionSkip}
	}
	return []Action{ActionEnforce, ActionLog}
}
