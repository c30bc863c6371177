package arrows

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/signet-project/signet/"

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func TestArrows(t *testing.T) {
	packages := list(t)
	for _, p := range packages {
		from, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue
		}
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path, module)
			if !ours || allowed(from, to) {
				continue
			}
			t.Errorf("%s must not import %s", from, to)
		}
	}
}

// allowed is the drawing of the house, direct imports only.
func allowed(from, to string) bool {
	in := func(path string, folders ...string) bool {
		return slices.ContainsFunc(folders, func(f string) bool {
			return path == f || strings.HasPrefix(path, f+"/")
		})
	}
	top, rest, _ := strings.Cut(from, "/")
	name, _, _ := strings.Cut(rest, "/")
	room := top + "/" + name
	switch {
	case top == "protocol":
		return in(to, "protocol")
	case top == "plugins":
		return in(to, "protocol", room)
	case from == "host", room == "host/doctor": // they put rooms together
		return in(to, "host", "protocol")
	case room == "host/conformance": // judges plugins by the rules of three other rooms
		return in(to, "protocol", room, "host/pki", "host/envelope", "host/plugin", "host/semver")
	case room == "host/internal": // tools of several rooms, which know none
		return false
	case top == "host":
		return in(to, "protocol", "host/pki", "host/semver", "host/internal", room)
	case room == "internal/cli":
		return in(to, "internal/cli", "host", "protocol")
	case top == "cmd" && name == "signet":
		return in(to, "internal/cli")
	case top == "cmd":
		return in(to, "protocol", "plugins/"+strings.TrimPrefix(name, "notation-"))
	case room == "internal/tools":
		return true
	case room == "internal/plugintest", room == "internal/mutants": // plugins and the host's rules for them
		return in(to, "protocol", "host") || strings.HasPrefix(to, "internal/test")
	case top == "internal": // helpers of tests
		return in(to, "protocol", "host/pki") || strings.HasPrefix(to, "internal/test")
	}
	return false
}

// forbidden lists what must not get linked into a binary.
var forbidden = map[string][]string{
	"cmd/signet": {
		"github.com/aws/", "github.com/Azure/", "github.com/hashicorp/vault/", "github.com/miekg/pkcs11",
		"github.com/ThalesGroup/crypto11", "github.com/notaryproject/notation-", module + "plugins/",
	},
}

// grpcLibraries double the time that the start of a plugin takes, and scripts wait for
// that of the host: sessions do without.
var grpcLibraries = []string{"github.com/hashicorp/go-plugin", "google.golang.org/"}

func TestLinked(t *testing.T) {
	packages := list(t)
	for binary, prefixes := range forbidden {
		for path := range closure(packages, module+binary) {
			for _, prefix := range prefixes {
				if strings.HasPrefix(path, prefix) {
					t.Errorf("%s links %s", binary, path)
				}
			}
		}
	}
	for path := range packages {
		if !strings.HasPrefix(path, module+"cmd/") {
			continue
		}
		for linked := range closure(packages, path) {
			for _, prefix := range grpcLibraries {
				if strings.HasPrefix(linked, prefix) {
					t.Errorf("%s links %s", path, linked)
				}
			}
		}
	}
}

func TestMains(t *testing.T) {
	mains, err := filepath.Glob("../../cmd/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatalf("no mains found: %v", err)
	}
	for _, path := range mains {
		limit := 15
		if filepath.Base(filepath.Dir(path)) == "signet" {
			limit = 40
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(data, []byte("\n")); lines >= limit {
			t.Errorf("%s has %d lines; a main has fewer than %d", path, lines, limit)
		}
	}
}

// TestOneHTTPClient looks for transports that host/netclient does not make.
func TestOneHTTPClient(t *testing.T) {
	for _, folder := range []string{"../../host", "../../internal/cli"} {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			ours := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
			if err != nil || !ours || filepath.Base(filepath.Dir(path)) == "netclient" {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte("http.Transport{")) {
				t.Errorf("%s makes a transport of its own", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// closure returns every package that path links, itself included.
func closure(packages map[string]pkg, path string) map[string]bool {
	seen, todo := map[string]bool{path: true}, []string{path}
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		for _, i := range packages[next].Imports {
			if !seen[i] {
				seen[i] = true
				todo = append(todo, i)
			}
		}
	}
	return seen
}

// list asks for the packages of the module and all they need, tests aside.
func list(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	packages := map[string]pkg{}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p pkg
		if err := decoder.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		if !p.Standard {
			packages[p.ImportPath] = p
		}
	}
}

// TestNoMethodByName holds that signet calls no method by a name that is only known
// when it runs, as templates do: the linker could leave out no exported method of any
// package then, which makes up an eighth of the program and shows at each start.
func TestNoMethodByName(t *testing.T) {
	program := filepath.Join(t.TempDir(), "signet")
	for _, args := range [][]string{{"build", "-o", program, "../../cmd/signet"}, {"tool", "nm", program}} {
		output, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%.2000s", strings.Join(args, " "), err, output)
		}
		if args[0] != "tool" {
			continue
		}
		if !bytes.Contains(output, []byte("main.main")) {
			t.Error("no symbols to look at")
		}
		if bytes.Contains(output, []byte("reflect.Value.MethodByName")) {
			t.Error("something calls methods by their names; go build -ldflags=-dumpdep tells what: look for <ReflectMethod>")
		}
	}
}
