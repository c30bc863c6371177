package plugin

import (
	"fmt"
	"io/fs"
	"strings"
)

// NameError says that a name cannot be that of a plugin (PLG-04).
type NameError struct{ Name string }

// Error quotes the name and says what one may consist of.
func (e *NameError) Error() string {
	return fmt.Sprintf("plugin name %q is not valid: it may have letters, digits, \"_\", \".\" and \"-\" alone", e.Name)
}

// NotInstalledError says that a plugin has no executable. It is an
// [fs.ErrNotExist].
type NotInstalledError struct {
	Name string
	// Path is where the executable was looked for.
	Path string
}

// Error says where the executable was looked for and how to install the plugin.
func (e *NotInstalledError) Error() string {
	return fmt.Sprintf("plugin %s is not installed: there is no executable file %s; install it with \"signet plugin install\"", e.Name, e.Path)
}

// Unwrap returns [fs.ErrNotExist].
func (e *NotInstalledError) Unwrap() error { return fs.ErrNotExist }

// ExecutableError says why a plugin that is there cannot be run (PLG-02, PLG-03).
type ExecutableError struct {
	Name string
	// Path is the file or directory at fault.
	Path   string
	Reason string
}

// Error names the plugin and the file or directory at fault.
func (e *ExecutableError) Error() string {
	return fmt.Sprintf("plugin %s cannot be run: %s %s; reinstall the plugin", e.Name, e.Path, e.Reason)
}

// WritableError says that others than root and the user could replace a plugin
// or its pins. It is a notice, and an error when pins are required.
type WritableError struct {
	Name string
	// Path is the file or directory that others can write.
	Path string
	// Owner is true when Path belongs to somebody else; otherwise its mode lets
	// others write.
	Owner bool
}

// Error names the file or directory and says how to close it to others.
func (e *WritableError) Error() string {
	fault := "can be written by others"
	if e.Owner {
		fault = "belongs to another user"
	}
	return fmt.Sprintf("plugin %s can be replaced by other users: %s %s; give it to root or to yourself and take away the write permission of group and others", e.Name, e.Path, fault)
}

// UnpinnedError says that a plugin has no pin. It is a notice, and an error when
// pins are required.
type UnpinnedError struct{ Name string }

// Error says what an absent pin means and how to pin the plugin.
func (e *UnpinnedError) Error() string {
	return fmt.Sprintf("plugin %s is not pinned, so a change of its files would go unnoticed: once you trust them as they are, run \"signet plugin pin %s\"", e.Name, e.Name)
}

// PinError says that a plugin's files are not those that were pinned.
type PinError struct {
	Name string
	// Dir is the plugin's directory.
	Dir string
	// Keeper is the user who may accept the files; empty when that is not known.
	Keeper string
	// Changes lists what differs from the pin, ordered by path.
	Changes []Change
}

// Error lists the first three changes and says who may accept them, and how.
func (e *PinError) Error() string {
	keeper := "whoever owns " + e.Dir
	if e.Keeper != "" {
		keeper = "user " + e.Keeper + ", who owns " + e.Dir + ","
	}
	return fmt.Sprintf("plugin %s is not run: its files changed since they were pinned (%s); if %s meant that, they accept it with \"signet plugin pin %s\" (\"signet plugin verify\" checks all plugins), otherwise reinstall the plugin",
		e.Name, summary(e.Changes), keeper, e.Name)
}

// summary names the first few changes.
func summary(changes []Change) string {
	const most = 3
	var texts []string
	for i, change := range changes {
		if i == most {
			texts = append(texts, fmt.Sprintf("%d more", len(changes)-most))
			break
		}
		texts = append(texts, fmt.Sprintf("%q %s", change.Path, change.Kind))
	}
	return strings.Join(texts, ", ")
}

// LockError says that plugins.lock.json cannot be used. No plugin runs then: the
// pins and withheld variables it held are not known.
type LockError struct {
	Path string
	Err  error
}

// Error says where the file is and how to come by a good one.
func (e *LockError) Error() string {
	return fmt.Sprintf("plugin pins in %s cannot be read (%v): restore the file, or remove it and pin each plugin again with \"signet plugin pin\"", e.Path, e.Err)
}

// Unwrap returns Err.
func (e *LockError) Unwrap() error { return e.Err }

// InstallError wraps what made an installation fail; nothing has been changed.
type InstallError struct{ Err error }

// Error is "plugin installation failed: " and the cause.
func (e *InstallError) Error() string { return "plugin installation failed: " + e.Err.Error() }

// Unwrap returns Err.
func (e *InstallError) Unwrap() error { return e.Err }

// ExistsError says that the version to install is the one installed (PLG-69).
type ExistsError struct{ Name, Version string }

// Error names the plugin and its version.
func (e *ExistsError) Error() string {
	return fmt.Sprintf("plugin %s with version %s already exists", e.Name, e.Version)
}

// DowngradeError says that a higher version is installed (PLG-69). A request with
// Force is installed all the same.
type DowngradeError struct{ Name, Installing, Existing string }

// Error names the plugin and both versions.
func (e *DowngradeError) Error() string {
	return fmt.Sprintf("failed to install plugin %s. The installing plugin version %s is lower than the existing plugin version %s.",
		e.Name, e.Installing, e.Existing)
}

// ChecksumError says that a plugin's source is not what the user expected (PLG-73).
type ChecksumError struct {
	// Expected is the checksum as the user wrote it, Actual that of the source
	// in lower hex.
	Expected, Actual string
}

// Error shows the checksum that was expected, not the actual one.
func (e *ChecksumError) Error() string {
	return "plugin SHA-256 checksum does not match user input. Expecting " + e.Expected
}
