package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestMain turns this program into a credential helper when it is run as one.
func TestMain(m *testing.M) {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if helper, ok := strings.CutPrefix(name, "docker-credential-"); ok {
		os.Exit(credentialHelper(helper, os.Args[1:], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// credentialHelper keeps credentials in a file beside the program, one helper apart from others.
func credentialHelper(helper string, args []string, in io.Reader, out io.Writer) int {
	type credentials struct{ ServerURL, Username, Secret string }
	executable, err := os.Executable()
	if err != nil || len(args) != 1 {
		return 2
	}
	path := filepath.Join(filepath.Dir(executable), helper+".json")
	stored := map[string]credentials{}
	if data, err := os.ReadFile(path); err == nil {
		json.Unmarshal(data, &stored)
	}
	input, _ := io.ReadAll(in)
	switch args[0] {
	case "get":
		found, ok := stored[string(input)]
		if !ok {
			fmt.Fprintln(out, "credentials not found in native keychain")
			return 1
		}
		if found.Secret == "broken" {
			fmt.Fprintln(out, "the keychain is locked")
			return 1
		}
		json.NewEncoder(out).Encode(found)
		return 0
	case "store":
		var c credentials
		if err := json.Unmarshal(input, &c); err != nil {
			return 1
		}
		stored[c.ServerURL] = c
	case "erase":
		delete(stored, string(input))
	}
	data, _ := json.Marshal(stored)
	if os.WriteFile(path, data, 0o600) != nil {
		return 1
	}
	return 0
}

// installHelpers puts credential helpers on PATH, and nothing else. It returns
// where they keep their files.
func installHelpers(t *testing.T, names ...string) string {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(executable)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range names {
		file := "docker-credential-" + name
		if runtime.GOOS == "windows" {
			file += ".exe"
		}
		if err := os.WriteFile(filepath.Join(dir, file), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return dir
}

func basicAuth(user, secret string) func(*http.Request) string {
	return func(r *http.Request) string {
		if u, p, ok := r.BasicAuth(); ok && u == user && p == secret {
			return ""
		}
		return `Basic realm="registry"`
	}
}

// tokenServer issues tokens by GET, by POST, or both.
type tokenServer struct {
	*httptest.Server
	get, post  bool
	postStatus int    // answer to POST when it is off; 405 unless set
	postBody   string // answer to POST instead of a token
	field      string // "token" or "access_token"

	mu       sync.Mutex
	requests []*http.Request
	forms    []url.Values
}

func newTokenServer(t *testing.T, change func(*tokenServer)) *tokenServer {
	s := &tokenServer{get: true, post: true, field: "access_token", postStatus: http.StatusMethodNotAllowed}
	change(s)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.ParseForm()
	s.requests = append(s.requests, r)
	s.forms = append(s.forms, r.Form)
	user, secret, _ := r.BasicAuth()
	if r.Method == http.MethodPost {
		if !s.post {
			w.WriteHeader(s.postStatus)
			return
		}
		if s.postBody != "" {
			fmt.Fprint(w, s.postBody)
			return
		}
		user, secret = r.Form.Get("username"), r.Form.Get("password")
		if r.Form.Get("grant_type") == "refresh_token" {
			user, secret = "user", r.Form.Get("refresh_token")
		}
	} else if !s.get {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if user != "user" || secret != "secret" {
		registryFault(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong password")
		return
	}
	scopes := strings.Join(r.Form["scope"], " ")
	json.NewEncoder(w).Encode(map[string]string{s.field: "token for " + scopes})
}

func (s *tokenServer) methods() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.requests {
		all = append(all, r.Method)
	}
	return strings.Join(all, " ")
}

// bearer asks for a token that covers what the request does.
func (s *tokenServer) bearer(r *http.Request) string {
	action := "pull"
	switch r.Method {
	case http.MethodPost, http.MethodPut:
		action = "push"
	case http.MethodDelete:
		action = "delete"
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer token for repository:team/app:")
	if slices.Contains(strings.Split(token, ","), action) || strings.Contains(token, "*") {
		return ""
	}
	return fmt.Sprintf(`Bearer realm="%s/token",service="registry",scope="repository:team/app:%s"`, s.URL, action)
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	t.Run("REG-05 basic", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = basicAuth("user", "secret") })
		subject := image(f)
		repo := f.open(t, password("user", "secret"))
		mustPush(t, repo, request(t, subject, "envelope"))
		if got := mustCollect(t, repo, subject); len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("REG-05 wrong or no password", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = basicAuth("user", "secret") })
		for _, change := range []func(*Client){password("user", "wrong"), func(*Client) {}} {
			_, err := f.open(t, change).Resolve(t.Context(), "v1")
			failed, ok := errors.AsType[*RegistryError](err)
			if !ok || failed.Status != http.StatusUnauthorized || !strings.Contains(err.Error(), "log in") {
				t.Errorf("got %v", err)
			}
		}
	})
	for name, c := range map[string]struct {
		change func(*tokenServer)
		user   string
		want   string // methods of token requests for a read
	}{
		"REG-06 OAuth 2.0 by POST first":               {func(*tokenServer) {}, "user", "POST"},
		"REG-05 refresh token":                         {func(*tokenServer) {}, "", "POST"},
		"REG-05 token GET where POST is not supported": {func(s *tokenServer) { s.post = false }, "user", "POST GET"},
		"REG-05 token GET where POST is not found":     {func(s *tokenServer) { s.post, s.postStatus = false, 404 }, "user", "POST GET"},
		"REG-05 token GET where POST is unauthorized":  {func(s *tokenServer) { s.post, s.postStatus = false, 401 }, "user", "POST GET"},
		"REG-05 token GET where POST is unimplemented": {func(s *tokenServer) { s.post, s.postStatus = false, 501 }, "user", "POST GET"},
		"REG-09 token member of GET":                   {func(s *tokenServer) { s.post, s.field = false, "token" }, "user", "POST GET"},
		"REG-09 POST that answers with a web page":     {func(s *tokenServer) { s.postBody = "<html>" }, "user", "POST GET"},
		"REG-09 POST that answers as GET does":         {func(s *tokenServer) { s.field = "token" }, "user", "POST GET"},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := newTokenServer(t, c.change)
			f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = tokens.bearer })
			image(f)
			repo := f.open(t, password(c.user, "secret"))
			if _, err := repo.Resolve(t.Context(), "v1"); err != nil {
				t.Fatal(err)
			}
			if got := tokens.methods(); got != c.want {
				t.Errorf("token requests %s", got)
			}
			first := tokens.forms[0]
			if first.Get("client_id") != "notation" || first.Get("service") != "registry" {
				t.Errorf("form %v", first)
			}
			if want := map[string]string{"user": "password", "": "refresh_token"}[c.user]; first.Get("grant_type") != want {
				t.Errorf("form %v", first)
			}
		})
	}
	t.Run("REG-06 what the token server cannot do is remembered", func(t *testing.T) {
		tokens := newTokenServer(t, func(s *tokenServer) { s.post = false })
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = tokens.bearer })
		subject := image(f)
		repo := f.open(t, password("user", "secret"))
		if _, err := repo.Resolve(t.Context(), "v1"); err != nil {
			t.Fatal(err)
		}
		mustPush(t, repo, request(t, subject, "envelope"))
		if got := tokens.methods(); got != "POST GET GET" {
			t.Errorf("token requests %s", got)
		}
	})
	t.Run("REG-05 wrong password for tokens", func(t *testing.T) {
		tokens := newTokenServer(t, func(*tokenServer) {})
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = tokens.bearer })
		_, err := f.open(t, password("user", "wrong-secret")).Resolve(t.Context(), "v1")
		failed, ok := errors.AsType[*RegistryError](err)
		if !ok || failed.Status != 401 || failed.Message != "UNAUTHORIZED: wrong password" || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("got %v", err)
		}
		if want := strings.TrimPrefix(tokens.URL, "http://"); failed.Registry != want {
			t.Errorf("%s failed, not %s", failed.Registry, want)
		}
	})
	t.Run("REG-07 scopes by what is done", func(t *testing.T) {
		tokens := newTokenServer(t, func(*tokenServer) {})
		f := newFakeRegistry(t, withoutReferrersAPI, func(f *fakeRegistry) { f.authorization = tokens.bearer })
		subject := image(f)
		repo := f.open(t, password("user", "secret"))
		if _, err := repo.Resolve(t.Context(), "v1"); err != nil {
			t.Fatal(err)
		}
		mustPush(t, repo, request(t, subject, "one"))
		mustPush(t, repo, request(t, subject, "two")) // deletes the first index
		var scopes []string
		for _, form := range tokens.forms {
			scopes = append(scopes, form.Get("scope"))
		}
		want := []string{"repository:team/app:pull", "repository:team/app:pull,push", "repository:team/app:delete,pull,push"}
		if !slices.Equal(scopes, want) {
			t.Errorf("asked for %q", scopes)
		}
	})
	t.Run("REG-07 scope of the challenge is asked for, too", func(t *testing.T) {
		tokens := newTokenServer(t, func(*tokenServer) {})
		f := newFakeRegistry(t, func(f *fakeRegistry) {
			f.authorization = func(r *http.Request) string {
				if strings.Contains(r.Header.Get("Authorization"), "repository:other:pull") {
					return ""
				}
				return fmt.Sprintf(`Bearer realm="%s/token",service="registry",scope="repository:other:pull"`, tokens.URL)
			}
		})
		image(f)
		if _, err := f.open(t, password("user", "secret")).Resolve(t.Context(), "v1"); err != nil {
			t.Fatal(err)
		}
		if got := tokens.forms[0].Get("scope"); got != "repository:other:pull repository:team/app:pull" {
			t.Errorf("asked for %q", got)
		}
	})
	t.Run("REG-08 tokens are kept for all of a registry", func(t *testing.T) {
		tokens := newTokenServer(t, func(*tokenServer) {})
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = tokens.bearer })
		subject := image(f)
		client := f.client(password("user", "secret"))
		for range 3 {
			repo, err := client.Open(f.ref(""), OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			mustCollect(t, repo, subject)
			if _, err := repo.Resolve(t.Context(), "v1"); err != nil {
				t.Fatal(err)
			}
		}
		if got := tokens.methods(); got != "POST" {
			t.Errorf("token requests %s", got)
		}
	})
	t.Run("REG-09 a token reply beyond 128 KiB is refused", func(t *testing.T) {
		tokens := newTokenServer(t, func(s *tokenServer) {
			s.get, s.postBody = false, `{"x":"`+strings.Repeat("x", 128<<10)+`","access_token":"t"}`
		})
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = tokens.bearer })
		image(f)
		if _, err := f.open(t, password("user", "secret")).Resolve(t.Context(), "v1"); err == nil {
			t.Error("it was read")
		}
	})
	t.Run("REG-16 token servers on this machine only for registries on it", func(t *testing.T) {
		if !isLoopback("localhost:5000") || !isLoopback("[::1]:5000") || !isLoopback("127.0.0.9") || isLoopback("localhost.example.com") {
			t.Error("isLoopback is wrong")
		}
		if len(blockedRealms("reg.example.com")) != len(blockedRealms("localhost:5000"))+2 {
			t.Error("the loopback prefixes are not the difference")
		}
	})
	t.Run("GEN-08 user agent", func(t *testing.T) {
		f := newFakeRegistry(t)
		image(f)
		f.open(t, func(c *Client) { c.UserAgent = "signet/9" }).Resolve(t.Context(), "v1")
		f.open(t).Resolve(t.Context(), "v1")
		if a, b := f.requests[0].UserAgent(), f.requests[1].UserAgent(); a != "signet/9" || b != "signet" {
			t.Errorf("agents %q, %q", a, b)
		}
	})
}

func writeJSON(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// These tests change PATH: none of them is parallel.
func TestCredentialStore(t *testing.T) {
	const host = "reg.example.com"
	plaintext := func(user string) string {
		return `{"auths":{"` + host + `":{"username":"` + user + `","password":"p"}}}`
	}
	t.Run("REG-10 order", func(t *testing.T) {
		dir := installHelpers(t, platformHelper())
		writeJSON(t, filepath.Join(dir, platformHelper()+".json"), `{"`+host+`":{"Username":"platform","Secret":"p"}}`)
		for _, c := range []struct{ own, docker, want string }{
			{plaintext("own"), plaintext("docker"), "own"},
			{`{"signatureFormat":"jws"}`, plaintext("docker"), "docker"},
			{``, plaintext("docker"), "docker"},
			{`{}`, `{}`, platformUser()},
		} {
			root := t.TempDir()
			opts := CredentialOptions{
				ConfigFile:       writeJSON(t, filepath.Join(root, "signet", "config.json"), c.own),
				DockerConfigFile: writeJSON(t, filepath.Join(root, "docker", "config.json"), c.docker),
			}
			store, err := OpenCredentialStore(opts)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := store.Get(t.Context(), host); err != nil || got.Username != c.want {
				t.Errorf("%s and %s: got %q, %v; want %q", c.own, c.docker, got.Username, err, c.want)
			}
		}
	})
	t.Run("REG-10 nothing configured is no error", func(t *testing.T) {
		installHelpers(t)
		root := t.TempDir()
		store, err := OpenCredentialStore(CredentialOptions{ConfigFile: filepath.Join(root, "a"), DockerConfigFile: filepath.Join(root, "b")})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(t.Context(), host); err != nil || got != (Credential{}) {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("REG-10 no file of Docker's", func(t *testing.T) {
		installHelpers(t)
		t.Chdir(t.TempDir())
		writeJSON(t, filepath.Join(".docker", "config.json"), `{"auths":{"`+host+`":{"auth":"dTpw"}}}`)
		path := DockerConfigFile(func(string) string { return "" }, "")
		store, err := OpenCredentialStore(CredentialOptions{ConfigFile: filepath.Join(t.TempDir(), "a"), DockerConfigFile: path})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(t.Context(), host); err != nil || got != (Credential{}) {
			t.Errorf("from %q: got %v, %v", path, got, err)
		}
	})
	t.Run("REG-10 malformed file", func(t *testing.T) {
		path := writeJSON(t, filepath.Join(t.TempDir(), "config.json"), `{`)
		if _, err := OpenCredentialStore(CredentialOptions{ConfigFile: path}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("REG-10 where Docker keeps its file", func(t *testing.T) {
		env := map[string]string{}
		getenv := func(name string) string { return env[name] }
		if got := DockerConfigFile(getenv, "home"); got != filepath.Join("home", ".docker", "config.json") {
			t.Error(got)
		}
		env["DOCKER_CONFIG"] = "elsewhere"
		if got := DockerConfigFile(getenv, "home"); got != filepath.Join("elsewhere", "config.json") {
			t.Error(got)
		}
	})
	t.Run("REG-11 helper of a host before the one of all", func(t *testing.T) {
		dir := installHelpers(t, "special", "general")
		writeJSON(t, filepath.Join(dir, "special.json"), `{"`+host+`":{"Username":"s","Secret":"p"}}`)
		writeJSON(t, filepath.Join(dir, "general.json"), `{"`+host+`":{"Username":"g","Secret":"p"},"other":{"Username":"<token>","Secret":"identity"}}`)
		path := writeJSON(t, filepath.Join(t.TempDir(), "config.json"), `{"credsStore":"general","credHelpers":{"`+host+`":"special"}}`)
		store, err := OpenCredentialStore(CredentialOptions{ConfigFile: path})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(t.Context(), host); err != nil || got.Username != "s" {
			t.Errorf("got %v, %v", got, err)
		}
		t.Run("REG-11 user name <token> means a refresh token", func(t *testing.T) {
			if got, err := store.Get(t.Context(), "other"); err != nil || got != NewCredential("", "identity") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	})
	t.Run("REG-11 failing helper is named", func(t *testing.T) {
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = basicAuth("user", "secret") })
		dir := installHelpers(t, "general")
		writeJSON(t, filepath.Join(dir, "general.json"), `{"`+f.host()+`":{"Username":"g","Secret":"broken"}}`)
		path := writeJSON(t, filepath.Join(t.TempDir(), "config.json"), `{"credsStore":"general"}`)
		store, err := OpenCredentialStore(CredentialOptions{ConfigFile: path})
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.open(t, func(c *Client) { c.Credentials = store.Get }).Resolve(t.Context(), "v1")
		failed, ok := errors.AsType[*CredentialError](err)
		if !ok || failed.Helper != "docker-credential-general" || !strings.Contains(err.Error(), "the keychain is locked") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("REG-12 password alone is an identity token", func(t *testing.T) {
		if got := NewCredential("", "t"); got != (Credential{RefreshToken: "t"}) {
			t.Errorf("got %+v", got)
		}
		if got := NewCredential("u", "t"); got != (Credential{Username: "u", Password: "t"}) {
			t.Errorf("got %+v", got)
		}
	})
}

// platformHelper is the helper that this system has by default.
func platformHelper() string {
	switch runtime.GOOS {
	case "windows":
		return "wincred"
	case "darwin":
		return "osxkeychain"
	}
	return "secretservice"
}

func platformUser() string {
	switch runtime.GOOS {
	case "windows", "darwin", "linux":
		return "platform"
	}
	return ""
}

func TestLogin(t *testing.T) {
	setup := func(t *testing.T, config string) (*fakeRegistry, string, CredentialOptions) {
		f := newFakeRegistry(t, func(f *fakeRegistry) { f.authorization = basicAuth("user", "secret") })
		dir := installHelpers(t, "general")
		return f, dir, CredentialOptions{ConfigFile: writeJSON(t, filepath.Join(t.TempDir(), "config.json"), strings.ReplaceAll(config, "HOST", f.host()))}
	}
	t.Run("REG-14 ping, then store; then remove", func(t *testing.T) {
		f, dir, opts := setup(t, `{"credsStore":"general"}`)
		store, err := OpenCredentialStore(opts)
		if err != nil {
			t.Fatal(err)
		}
		existing, err := f.client().Login(t.Context(), store, f.host(), NewCredential("user", "secret"))
		if err != nil || existing {
			t.Fatalf("got %v, %v", existing, err)
		}
		if got := f.requests[0]; got.URL.Path != "/v2/" {
			t.Errorf("asked %s", got.URL)
		}
		if data, _ := os.ReadFile(filepath.Join(dir, "general.json")); !strings.Contains(string(data), "secret") {
			t.Errorf("the helper has %s", data)
		}
		if data, _ := os.ReadFile(opts.ConfigFile); strings.Contains(string(data), "secret") {
			t.Errorf("the file has %s", data)
		}
		image(f)
		repo := f.open(t, func(c *Client) { c.Credentials = store.Get })
		if _, err := repo.Resolve(t.Context(), "v1"); err != nil {
			t.Error(err)
		}
		if err := store.Delete(t.Context(), f.host()); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(t.Context(), f.host()); err != nil || got != (Credential{}) {
			t.Errorf("still %v, %v", got, err)
		}
	})
	t.Run("REG-14 wrong password is not stored", func(t *testing.T) {
		f, dir, opts := setup(t, `{"credsStore":"general"}`)
		store, err := OpenCredentialStore(opts)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.client().Login(t.Context(), store, f.host(), NewCredential("user", "wrong"))
		if failed, ok := errors.AsType[*RegistryError](err); !ok || failed.Status != 401 {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "general.json")); err == nil {
			t.Error("it was stored")
		}
	})
	t.Run("REG-14 no helper, no plain text", func(t *testing.T) {
		f, _, opts := setup(t, `{}`)
		store, err := OpenCredentialStore(opts)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.client().Login(t.Context(), store, f.host(), NewCredential("user", "secret"))
		want := "failed to log in to " + f.host() + ": the credential could not be saved because a credentials store is required to securely store the password. See https://notaryproject.dev/docs/how-to/registry-authentication/"
		if !errors.Is(err, ErrPlaintextRefused) || err.Error() != want {
			t.Errorf("got %v", err)
		}
		if data, _ := os.ReadFile(opts.ConfigFile); string(data) != `{}` {
			t.Errorf("the file has %s", data)
		}
	})
	t.Run("REG-14 plain text that is there already", func(t *testing.T) {
		f, _, opts := setup(t, `{"auths":{"HOST":{"username":"user","password":"secret"}}}`)
		store, err := OpenCredentialStore(opts)
		if err != nil {
			t.Fatal(err)
		}
		existing, err := f.client().Login(t.Context(), store, f.host(), NewCredential("user", "secret"))
		if err != nil || !existing {
			t.Errorf("got %v, %v", existing, err)
		}
	})
	t.Run("REG-12 docker.io is stored under its old address", func(t *testing.T) {
		_, dir, opts := setup(t, `{"credsStore":"general"}`)
		store, err := OpenCredentialStore(opts)
		if err != nil {
			t.Fatal(err)
		}
		const address = "https://index.docker.io/v1/"
		writeJSON(t, filepath.Join(dir, "general.json"), `{"`+address+`":{"ServerURL":"`+address+`","Username":"u","Secret":"p"},"reg.io":{"Username":"x","Secret":"p"}}`)
		if err := store.Delete(t.Context(), "docker.io"); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(filepath.Join(dir, "general.json"))
		if strings.Contains(string(data), address) || !strings.Contains(string(data), "reg.io") {
			t.Errorf("the helper has %s", data)
		}
	})
	t.Run("REG-14 not a registry", func(t *testing.T) {
		_, _, opts := setup(t, `{"credsStore":"general"}`)
		store, err := OpenCredentialStore(opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := new(Client).Login(t.Context(), store, "reg.io/app", NewCredential("u", "p")); err == nil {
			t.Error("logged in")
		}
	})
}

func TestLogTransport(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var mu sync.Mutex
	logger := slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tokens := newTokenServer(t, func(s *tokenServer) { s.post = false })
	f := newFakeRegistry(t, func(f *fakeRegistry) {
		f.authorization = tokens.bearer
		f.hook = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Set-Cookie", "session=cookie-secret")
			return false
		}
	})
	subject := image(f)
	repo := f.open(t, password("user", "secret"), func(c *Client) { c.Transport = NewLogTransport(http.DefaultTransport, logger) })
	mustPush(t, repo, request(t, subject, "envelope-content"))
	text := log.String()
	t.Run("GEN-11 no secrets in the log", func(t *testing.T) {
		for _, secret := range []string{"secret", "dXNlcjpzZWNyZXQ", "token for", "Bearer token", "Basic ", "envelope-content"} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in\n%s", secret, text)
			}
		}
		for _, shown := range []string{"Authorization:*****", "Set-Cookie:*****", "_state=*****", "method=PUT", "status=201", "duration="} {
			if !strings.Contains(text, shown) {
				t.Errorf("%q is not in the log", shown)
			}
		}
	})
	t.Run("GEN-11 URLs", func(t *testing.T) {
		u, err := url.Parse("https://user:pw@s3.example.com/b%2Fc?X-Amz-Signature=abc&digest=sha256:1&n=5&X-Amz-Signature=def")
		if err != nil {
			t.Fatal(err)
		}
		want := "https://s3.example.com/b%2Fc?X-Amz-Signature=*****&X-Amz-Signature=*****&digest=sha256%3A1&n=5"
		if got := redactURL(u); got != want {
			t.Errorf("got %s", got)
		}
	})
	t.Run("GEN-11 silent above debug", func(t *testing.T) {
		var quiet bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&quiet, nil))
		repo := f.open(t, password("user", "secret"), func(c *Client) { c.Transport = NewLogTransport(http.DefaultTransport, logger) })
		if _, err := repo.Resolve(t.Context(), "v1"); err != nil || quiet.Len() != 0 {
			t.Errorf("logged %s, %v", quiet.String(), err)
		}
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
