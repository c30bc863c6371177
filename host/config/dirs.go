package config

import (
	"os"
	"path/filepath"
)

// Dirs are the directories of a host (KEY-01..04).
type Dirs struct {
	// Config holds policies, trust stores, the key list and settings.
	Config string
	// Libexec holds the plugins directory.
	Libexec string
	// Cache holds what can be fetched again.
	Cache string
	// Homeless tells that Config is below the current directory, because the environment
	// names no home for it (KEY-01).
	Homeless bool
}

// app is the name of the directories, shared with the notation CLI.
const app = "notation"

// fallback is the configuration directory of those without a home.
const fallback = "." + app

// Absolute returns d with paths that stay right when the current directory changes, as
// those of keys in the key list must. When it cannot be found out they stay as they are.
func (d Dirs) Absolute() Dirs {
	for _, dir := range []*string{&d.Config, &d.Libexec, &d.Cache} {
		*dir = absolute(*dir)
	}
	return d
}

func absolute(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	here, err := os.Getwd()
	if err == nil {
		here, err = filepath.EvalSymlinks(here) // ".." is above what a link leads to
	}
	if err != nil {
		return path
	}
	return filepath.Join(here, path)
}

// DirsFrom finds the directories of a user. getenv looks up environment
// variables; goos is runtime.GOOS; home is the user's home directory, or empty
// when it is not known.
func DirsFrom(getenv func(string) string, goos, home string) Dirs {
	dirs := Dirs{Config: configDir(getenv, goos, home), Cache: cacheDir(getenv, goos, home)}
	dirs.Homeless = dirs.Config == fallback
	if dir := getenv("NOTATION_CONFIG"); dir != "" {
		dirs.Config, dirs.Homeless = dir, false
	}
	if dir := getenv("NOTATION_CACHE"); dir != "" {
		dirs.Cache = dir
	}
	dirs.Libexec = dirs.Config
	if dir := getenv("NOTATION_LIBEXEC"); dir != "" {
		dirs.Libexec = dir
	}
	return dirs
}

func configDir(getenv func(string) string, goos, home string) string {
	switch {
	case goos == "windows" && getenv("AppData") != "":
		return filepath.Join(getenv("AppData"), app)
	case goos == "darwin" && home != "":
		return filepath.Join(home, "Library", "Application Support", app)
	case goos != "windows" && goos != "darwin" && filepath.IsAbs(getenv("XDG_CONFIG_HOME")):
		return filepath.Join(getenv("XDG_CONFIG_HOME"), app)
	case goos != "windows" && goos != "darwin" && home != "":
		return filepath.Join(home, ".config", app)
	}
	return fallback
}

func cacheDir(getenv func(string) string, goos, home string) string {
	switch {
	case goos == "windows" && getenv("LocalAppData") != "":
		return filepath.Join(getenv("LocalAppData"), app)
	case goos == "darwin" && home != "":
		return filepath.Join(home, "Library", "Caches", app)
	case goos != "windows" && goos != "darwin" && filepath.IsAbs(getenv("XDG_CACHE_HOME")):
		return filepath.Join(getenv("XDG_CACHE_HOME"), app)
	case goos != "windows" && goos != "darwin" && home != "":
		return filepath.Join(home, ".cache", app)
	}
	return filepath.Join(fallback, "cache")
}

// TrustStore is the directory of the trust stores.
func (d Dirs) TrustStore() string { return filepath.Join(d.Config, "truststore") }

// Plugins is the directory of the plugins.
func (d Dirs) Plugins() string { return filepath.Join(d.Libexec, "plugins") }

// LocalKey is the paths of a test key and its certificate, of modes 0600 and
// 0644 (KEY-12).
func (d Dirs) LocalKey(name string) (keyPath, certPath string) {
	dir := filepath.Join(d.Config, "localkeys")
	return filepath.Join(dir, name+".key"), filepath.Join(dir, name+".crt")
}

// CRLCache is the directory of cached CRLs.
func (d Dirs) CRLCache() string { return filepath.Join(d.Cache, "crl") }

// PluginMemory is the directory of what is remembered about the files of pinned
// plugins.
func (d Dirs) PluginMemory() string { return filepath.Join(d.Cache, "plugins") }
