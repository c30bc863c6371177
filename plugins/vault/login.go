package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

const (
	maxSecret = 64 << 10 // bytes
	// kubernetesToken is where pods find their service account's token.
	kubernetesToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// login makes sure that the client has a token that has not expired.
func (s *server) login(ctx context.Context) error {
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.turn.Release(1)
	if s.settings.method == methodToken { // read each time: an agent may have renewed it
		token, err := s.settings.token()
		if err == nil {
			s.client.SetToken(token)
		}
		return err
	}
	if s.token != "" && (s.expires.IsZero() || s.now().Before(s.expires)) {
		return nil
	}
	mount, body, err := s.settings.credentials()
	if err != nil {
		return err
	}
	r := request{what: fmt.Sprintf("log in by %s", s.settings.method), path: "auth/" + mount + "/login", body: body}
	s.client.ClearToken()
	secret, err := s.client.Logical().WriteWithContext(ctx, r.path, body)
	if err != nil {
		return s.loginFailure(ctx, r, err)
	}
	if secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "" {
		return protocol.Errorf(protocol.CodeGeneric, "%s at %s: the answer of %s holds no token", r.what, s, r.path)
	}
	s.token, s.expires = secret.Auth.ClientToken, time.Time{}
	if lease := time.Duration(secret.Auth.LeaseDuration) * time.Second; lease > 0 {
		s.expires = s.now().Add(lease - min(lease/10, 10*time.Second))
	}
	s.client.SetToken(s.token)
	return nil
}

// forgetToken makes the next request log in anew.
func (s *server) forgetToken() {
	_ = s.turn.Acquire(context.Background(), 1) // which ends without error
	defer s.turn.Release(1)
	s.token = ""
}

// token finds the token: in the environment, in the file named, or where "vault
// login" leaves it. An agent adds one of its own.
func (s *settings) token() (string, error) {
	if token := s.env("TOKEN"); token != "" {
		return token, nil
	}
	if path := s.get(ConfigTokenFile); path != "" {
		return readSecret(ConfigTokenFile, path)
	}
	if s.home != "" {
		token, err := readSecret("token", filepath.Join(s.home, ".vault-token"))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return token, err
		}
	}
	if s.env("AGENT_ADDR") != "" {
		return "", nil
	}
	return "", protocol.Errorf(protocol.CodeAccessDenied,
		"no token for %s: set VAULT_TOKEN or VAULT_TOKEN_FILE, log in with the server's own command, or choose another plugin config %s", s.address(), ConfigAuthMethod)
}

// credentials returns the mount of an auth method and what to log in with there.
func (s *settings) credentials() (mount string, body map[string]any, err error) {
	if mount, err = s.authMount(); err != nil {
		return "", nil, err
	}
	body = map[string]any{}
	switch s.method {
	case methodAppRole:
		body["role_id"] = s.get(ConfigRoleID)
		if body["role_id"] == "" {
			return "", nil, missing(s.method, ConfigRoleID, "VAULT_ROLE_ID")
		}
		secretID, err := s.secret("SECRET_ID", ConfigSecretIDFile)
		if secretID != "" { // a role may want none
			body["secret_id"] = secretID
		}
		return mount, body, err
	case methodKubernetes, methodJWT:
		if role := s.get(ConfigAuthRole); role != "" {
			body["role"] = role
		} else if s.method == methodKubernetes {
			return "", nil, missing(s.method, ConfigAuthRole, "VAULT_AUTH_ROLE")
		}
		jwt, err := s.secret("JWT", ConfigJWTFile)
		if err == nil && jwt == "" {
			if s.method == methodJWT {
				return "", nil, missing(s.method, ConfigJWTFile, "VAULT_JWT")
			}
			jwt, err = readSecret("service account token", kubernetesToken)
		}
		body["jwt"] = jwt
		return mount, body, err
	}
	return "", nil, fmt.Errorf("auth method %s has no credentials", s.method)
}

func missing(m method, config, variable string) error {
	return protocol.Errorf(protocol.CodeValidation, "auth method %s needs plugin config %s or %s", m, config, variable)
}

// secret returns a secret from the environment, or else from the file named.
func (s *settings) secret(variable, file string) (string, error) {
	if value := s.env(variable); value != "" {
		return value, nil
	}
	if path := s.get(file); path != "" {
		return readSecret(file, path)
	}
	return "", nil
}

// readSecret reads a file of one secret. Errors name the path and never what is
// in it.
func readSecret(name, path string) (string, error) {
	data, err := signer.ReadFile(path)
	if err != nil {
		return "", protocol.Errorf(protocol.CodeAccessDenied, "%s: %w", name, err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" || len(data) > maxSecret {
		return "", protocol.Errorf(protocol.CodeAccessDenied, "%s: %s is empty or longer than %d KiB", name, path, maxSecret>>10)
	}
	return text, nil
}
