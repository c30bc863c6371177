package vault

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Plugin configuration, besides signer.ConfigCertificateChain. What has an
// environment variable too comes first from here.
const (
	ConfigAddress       = "address"         // of the server; BAO_ADDR, VAULT_ADDR
	ConfigNamespace     = "namespace"       // BAO_NAMESPACE, VAULT_NAMESPACE
	ConfigCACert        = "ca_cert"         // PEM file; BAO_CACERT, VAULT_CACERT
	ConfigCAPath        = "ca_path"         // folder of PEM files; BAO_CAPATH, VAULT_CAPATH
	ConfigClientCert    = "client_cert"     // PEM file; BAO_CLIENT_CERT, VAULT_CLIENT_CERT
	ConfigClientKey     = "client_key"      // PEM file; BAO_CLIENT_KEY, VAULT_CLIENT_KEY
	ConfigTLSServerName = "tls_server_name" // BAO_TLS_SERVER_NAME, VAULT_TLS_SERVER_NAME
	ConfigAuthMethod    = "auth_method"     // token, approle, kubernetes or jwt; BAO_AUTH_METHOD, VAULT_AUTH_METHOD
	ConfigAuthMount     = "auth_mount"      // default: the method; BAO_AUTH_MOUNT, VAULT_AUTH_MOUNT
	ConfigAuthRole      = "auth_role"       // for kubernetes and jwt; BAO_AUTH_ROLE, VAULT_AUTH_ROLE
	ConfigRoleID        = "role_id"         // for approle; BAO_ROLE_ID, VAULT_ROLE_ID
	ConfigTokenFile     = "token_file"      // BAO_TOKEN_FILE, VAULT_TOKEN_FILE
	ConfigSecretIDFile  = "secret_id_file"  // BAO_SECRET_ID_FILE, VAULT_SECRET_ID_FILE
	ConfigJWTFile       = "jwt_file"        // BAO_JWT_FILE, VAULT_JWT_FILE
	ConfigKV            = "certificate_kv"  // path of a KV entry, "secret/data/release#FIELD"
)

// environment names, for each configuration, what follows BAO_ and VAULT_ in
// the environment variables.
var environment = map[string]string{
	ConfigAddress: "ADDR", ConfigNamespace: "NAMESPACE", ConfigCACert: "CACERT", ConfigCAPath: "CAPATH",
	ConfigClientCert: "CLIENT_CERT", ConfigClientKey: "CLIENT_KEY", ConfigTLSServerName: "TLS_SERVER_NAME",
	ConfigAuthMethod: "AUTH_METHOD", ConfigAuthMount: "AUTH_MOUNT", ConfigAuthRole: "AUTH_ROLE", ConfigRoleID: "ROLE_ID",
	ConfigTokenFile: "TOKEN_FILE", ConfigSecretIDFile: "SECRET_ID_FILE", ConfigJWTFile: "JWT_FILE",
}

const (
	defaultAddress = "https://127.0.0.1:8200"
	// defaultTimeout leaves a host time to try again within its own minute.
	defaultTimeout = 20 * time.Second
)

// settings is all that configuration and environment say.
type settings struct {
	config map[string]string
	getenv func(string) string
	home   string

	timeout  time.Duration
	insecure bool
	kv       *kvPath // nil without
	method   method
}

// method is a way to get a token.
type method string

const (
	methodToken      method = "token"
	methodAppRole    method = "approle"
	methodKubernetes method = "kubernetes"
	methodJWT        method = "jwt"
)

// readSettings checks a plugin configuration and completes it from the
// environment.
func readSettings(config map[string]string, getenv func(string) string) (*settings, error) {
	known := []string{ConfigKV}
	for name := range environment {
		known = append(known, name)
	}
	if err := signer.CheckConfig(config, known...); err != nil {
		return nil, err
	}
	s := &settings{config: config, getenv: getenv, home: cmp.Or(getenv("HOME"), getenv("USERPROFILE"))}
	if text := config[ConfigKV]; text != "" {
		kv, err := parseKVPath(text)
		if err != nil {
			return nil, protocol.Errorf(protocol.CodeValidation, "plugin config %s: %w", ConfigKV, err)
		}
		s.kv = &kv
	}
	var err error
	if s.timeout, err = parseTimeout(s.env("CLIENT_TIMEOUT")); err != nil {
		return nil, protocol.Errorf(protocol.CodeValidation, "VAULT_CLIENT_TIMEOUT: %w", err)
	}
	if text := s.env("SKIP_VERIFY"); text != "" {
		if s.insecure, err = strconv.ParseBool(text); err != nil {
			return nil, protocol.Errorf(protocol.CodeValidation, "VAULT_SKIP_VERIFY is %q, neither true nor false", text)
		}
	}
	s.method, err = s.chooseMethod()
	return s, err
}

// get returns a setting from the configuration or else the environment.
func (s *settings) get(name string) string {
	return cmp.Or(s.config[name], s.env(environment[name]))
}

// env returns the environment variable BAO_name or else VAULT_name.
func (s *settings) env(name string) string {
	return cmp.Or(s.getenv("BAO_"+name), s.getenv("VAULT_"+name))
}

// address is that of the server, or of an agent in front of it.
func (s *settings) address() string {
	return cmp.Or(s.config[ConfigAddress], s.env("AGENT_ADDR"), s.env("ADDR"), defaultAddress)
}

func (s *settings) chooseMethod() (method, error) {
	switch m := method(s.get(ConfigAuthMethod)); m {
	case "":
		return methodToken, nil
	case methodToken, methodAppRole, methodKubernetes, methodJWT:
		return m, nil
	default:
		return "", protocol.Errorf(protocol.CodeValidation, "auth_method %q is not known: there are token, approle, kubernetes and jwt", string(m))
	}
}

// authMount is where the auth method is.
func (s *settings) authMount() (string, error) {
	mount := strings.Trim(s.get(ConfigAuthMount), "/")
	if mount == "" {
		return string(s.method), nil
	}
	for element := range strings.SplitSeq(mount, "/") {
		if !plainElement(element) {
			return "", protocol.Errorf(protocol.CodeValidation, "auth_mount: %q cannot be part of a path", element)
		}
	}
	return mount, nil
}

// parseTimeout reads a duration, or a number of seconds.
func parseTimeout(text string) (time.Duration, error) {
	if text == "" {
		return defaultTimeout, nil
	}
	if seconds, err := strconv.ParseUint(text, 10, 20); err == nil {
		text = fmt.Sprintf("%ds", seconds)
	}
	timeout, err := time.ParseDuration(text)
	if err != nil || timeout <= 0 {
		return 0, fmt.Errorf("%q is not a duration like 20s", text)
	}
	return timeout, nil
}
