package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestValidName(t *testing.T) {
	t.Run("PLG-04 names", func(t *testing.T) {
		for name, want := range map[string]bool{
			"awskms": true, "com.acme.check-2_x": true, "A": true, "...": true, "-": true,
			"": false, ".": false, "..": false, "../x": false, "a/b": false, `a\b`: false, "/etc": false,
			"a b": false, "a\x00": false, "ä": false, "~install-1": false, "a:b": false,
			strings.Repeat("a", maxNameLength): true, strings.Repeat("a", maxNameLength+1): false,
		} {
			if got := ValidName(name); got != want {
				t.Errorf("ValidName(%q) = %v", name, got)
			}
		}
	})
	t.Run("PLG-04 no path is built from a bad name", func(t *testing.T) {
		outside := tempDir(t)
		dir := filepath.Join(outside, "plugins")
		writePlugin(t, outside, "x", "1.0.0", 0o755)
		m := NewManager(dir, Options{})
		for _, name := range []string{"../x", "..", ".", "", "x/../../x", `..\x`} {
			_, err := m.Get(t.Context(), name)
			if invalid, ok := errors.AsType[*NameError](err); !ok || invalid.Name != name {
				t.Errorf("Get(%q): %v", name, err)
			}
			if _, ok := errors.AsType[*NameError](m.Uninstall(t.Context(), name)); !ok {
				t.Errorf("Uninstall(%q) took the name", name)
			}
			if _, err := m.Pin(t.Context(), name); err == nil {
				t.Errorf("Pin(%q) took the name", name)
			}
		}
		if _, err := os.Stat(filepath.Join(outside, "x", BinaryName("x"))); err != nil {
			t.Error(err)
		}
	})
}

func TestNameOfBinary(t *testing.T) {
	suffix := binarySuffix
	for file, want := range map[string]string{
		"notation-x" + suffix: "x", "notation-a.b" + suffix: "a.b",
		"notation-" + suffix: "", "notation" + suffix: "", "Notation-x" + suffix: "",
		"notation-a b" + suffix: "", "notation-.." + suffix: "", "x" + suffix: "",
	} {
		if got, ok := nameOfBinary(file); ok != (want != "") || ok && got != want {
			t.Errorf("nameOfBinary(%q) = %q, %v", file, got, ok)
		}
	}
	if runtime.GOOS == "windows" {
		if _, ok := nameOfBinary("notation-x"); ok {
			t.Error("executable without .exe")
		}
	}
}

func TestCompareVersions(t *testing.T) {
	t.Run("PLG-69 SemVer order", func(t *testing.T) {
		order := []string{"0.0.1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0", "2.0.0"}
		for i, a := range order {
			for j, b := range order {
				if got, err := compareVersions(a, b); err != nil || (got < 0) != (i < j) || (got > 0) != (i > j) {
					t.Errorf("compareVersions(%s, %s) = %d, %v", a, b, got, err)
				}
			}
		}
		if got, err := compareVersions("1.0.0+a", "1.0.0+b"); got != 0 || err != nil {
			t.Errorf("build metadata counts: %d, %v", got, err)
		}
	})
	t.Run("PLG-41 SemVer only", func(t *testing.T) {
		for _, version := range []string{"", "1", "1.0", "v1.0.0", "01.0.0", "1.0.0-01", "1.0.0-", "1.0.0+", "1.0.0 ", "1.0.0\n"} {
			_, err := compareVersions("1.0.0", version)
			if invalid, ok := errors.AsType[*VersionError](err); !ok || invalid.Version != version {
				t.Errorf("compareVersions(1.0.0, %q): %v", version, err)
			}
		}
	})
}

func TestWithhold(t *testing.T) {
	t.Run("CLI-04 registry credentials", func(t *testing.T) {
		parent := []string{"PATH=/bin", "NOTATION_USERNAME=u", "NOTATION_PASSWORD=p=p", "DOCKER_AUTH_CONFIG={}", "DOCKER_CONFIG=/c", "NOTATION_CONFIG=/n", "NOTATION_PASSWORD2=x", "=C:=C:\\", "", "X"}
		want := []string{"PATH=/bin", "DOCKER_CONFIG=/c", "NOTATION_CONFIG=/n", "NOTATION_PASSWORD2=x", "=C:=C:\\", "", "X"}
		if got := withhold(parent); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("names and beginnings of names", func(t *testing.T) {
		got := withhold([]string{"AWS_KEY=1", "AWS_ID=2", "AZURE=3", "A=4", "AB=5"}, []string{"AWS_*"}, []string{"A"})
		if !slices.Equal(got, []string{"AZURE=3", "AB=5"}) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("never nil", func(t *testing.T) {
		if withhold(nil) == nil {
			t.Error("nil means the host's whole environment to os/exec")
		}
	})
}
