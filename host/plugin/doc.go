// Package plugin finds, lists, installs, pins and launches the plugin
// executables of one plugin directory, and packs them for publication.
//
// A plugin X is the executable X/notation-X (notation-X.exe on Windows) in that
// directory (plugin-extensibility.md, Plugin installation path). The package
// treats plugins as fallible and every name it is given as hostile. What a
// plugin answers is the business of the [protocol.Client] that [Manager.Get]
// returns.
package plugin
