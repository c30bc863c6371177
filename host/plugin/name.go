package plugin

import (
	"path/filepath"
	"runtime"
	"strings"

	"github.com/signet-project/signet/protocol"
)

// maxNameLength bounds, in bytes, the name of a plugin: with prefix and suffix
// it still is a file name everywhere.
const maxNameLength = 200

// ValidName tells whether name can be the name of a plugin, wherever it comes
// from: letters, digits, "_", "." and "-", and neither "." nor "..".
func ValidName(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > maxNameLength {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return filepath.IsLocal(name) // on Windows, not a device such as NUL
}

// BinaryName returns the file name of a plugin's executable on this system.
func BinaryName(name string) string {
	return protocol.BinaryPrefix + name + binarySuffix
}

// nameOfBinary returns the plugin name in an executable's file name; false when
// the file name is not that of a plugin.
func nameOfBinary(file string) (string, bool) { return nameOfBinaryOn(binarySuffix, file) }

// nameOfBinaryOn is nameOfBinary where executables end in suffix.
func nameOfBinaryOn(suffix, file string) (string, bool) {
	if suffix != "" {
		extension := filepath.Ext(file)
		if !strings.EqualFold(extension, suffix) {
			return "", false
		}
		file = strings.TrimSuffix(file, extension)
	}
	name, found := strings.CutPrefix(file, protocol.BinaryPrefix)
	return name, found && ValidName(name)
}

// binarySuffix ends the file name of executables.
var binarySuffix = suffixOn(runtime.GOOS)

// suffixOn ends the file name of executables of an operating system.
func suffixOn(os string) string {
	if os == "windows" {
		return ".exe"
	}
	return ""
}
