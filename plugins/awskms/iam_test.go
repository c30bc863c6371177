package awskms

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/protocol"
)

// trust is a role's trust policy: everybody may assume it who knows the external
// id, if there is one.
func trust(externalID string) string {
	condition := ""
	if externalID != "" {
		condition = fmt.Sprintf(`, "Condition": {"StringEquals": {"sts:ExternalId": %q}}`, externalID)
	}
	return `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"` + condition + `}]}`
}

// TestIAM asks an account that judges who may do what.
func TestIAM(t *testing.T) {
	moto := testservers.StartMoto(t)
	arn := moto.CreateKey(t, "RSA_2048", signVerify)
	all := []string{"kms:GetPublicKey", "kms:Sign"}
	role := moto.Role(t, "signer", trust("x-1"), all...)
	secrets := []string{}
	user := func(name string, actions ...string) []string {
		id, secret := moto.User(t, name, actions...)
		secrets = append(secrets, secret)
		return []string{"AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret}
	}
	reader, nobody := user("reader", all[0]), user("nobody", "s3:GetObject")
	assumer := user("assumer", "sts:AssumeRole")
	moto.Enforce(t)

	config := map[string]string{ConfigTimeout: "5m"}
	as := func(t *testing.T, credentials ...string) *protocol.Client {
		return over(process(t, append([]string{"AWS_ENDPOINT_URL=" + moto.URL}, credentials...)...))
	}
	describe := func(t *testing.T, config map[string]string, credentials ...string) error {
		_, err := as(t, credentials...).DescribeKey(t.Context(), &protocol.DescribeKeyRequest{KeyID: arn, PluginConfig: config})
		for _, secret := range secrets {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the secret is in the message: %v", err)
			}
		}
		return err
	}
	assume := with(with(config, ConfigRoleARN, role), ConfigExternalID, "x-1")
	for _, c := range []struct {
		name        string
		config      map[string]string
		credentials []string
		want        []string // "" for none
	}{
		{"permission to read", config, reader, nil},
		{"role with its external id", assume, assumer, nil},
		{"no permission to read", config, nobody, []string{"kms:GetPublicKey", arn, "region us-east-1", "user/nobody"}},
		{"role with another external id", with(assume, ConfigExternalID, "x-2"), assumer, []string{"get credentials", "role " + role, "sts:AssumeRole", "trust policy"}},
		{"no permission to assume a role", assume, nobody, []string{"get credentials", "sts:AssumeRole", "user/nobody"}},
		{"no such access key", config, []string{"AWS_ACCESS_KEY_ID=AKIANOBODY"}, []string{"the credentials are wrong"}},
		{"wrong secret", config, append(reader[:1:1], "AWS_SECRET_ACCESS_KEY=hunter2-hunter2"), []string{"check the secret access key"}},
	} {
		t.Run("PLG-12 "+c.name, func(t *testing.T) {
			err := describe(t, c.config, c.credentials...)
			if c.want != nil {
				plugintest.WantError(t, err, protocol.CodeAccessDenied, c.want...)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	sign := func(t *testing.T, config map[string]string, credentials ...string) error {
		_, err := as(t, credentials...).GenerateSignature(t.Context(), &protocol.GenerateSignatureRequest{
			KeyID: arn, KeySpec: protocol.KeySpecRSA2048, Hash: protocol.HashSHA256, Payload: []byte("payload"), PluginConfig: config, Purpose: protocol.PurposeCSR,
		})
		return err
	}
	t.Run("PLG-12 no permission to sign", func(t *testing.T) {
		plugintest.WantError(t, sign(t, config, reader...), protocol.CodeAccessDenied, "kms:Sign", arn, "user/reader")
	})
	t.Run("PLG-25 salt of another length", func(t *testing.T) { // which moto makes
		plugintest.WantError(t, sign(t, assume, assumer...), protocol.CodeGeneric, "does not verify", arn)
	})
}

// TestCredentials gets credentials in the ways of the SDK, from moto's STS, for
// local-kms.
func TestCredentials(t *testing.T) {
	moto, kms := testservers.StartMoto(t), testservers.LocalKMS(t)
	arn := kms.CreateKey(t, "ECC_NIST_P256", signVerify)
	role := moto.Role(t, "signer", trust(""), "kms:*")
	var signedBy, asked atomic.Value
	front := testservers.NewFront(t, kms.URL, func(_ http.ResponseWriter, r *http.Request) bool {
		_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		id, _, _ := strings.Cut(credential, "/")
		signedBy.Store(fmt.Sprintf("%.4s %t", id, r.Header.Get("X-Amz-Security-Token") != ""))
		return false
	})
	front.Start()
	sts := testservers.NewFront(t, moto.URL, func(_ http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		asked.Store(string(body))
		return false
	})
	sts.Start()
	token := writeFile(t, []byte("the-identity-of-a-pod"))
	files := func(text string) string {
		return "AWS_CONFIG_FILE=" + writeFile(t, fmt.Appendf(nil, text, role, secret))
	}
	container, instance := container(t), instance(t)
	config := map[string]string{ConfigTimeout: "5m", ConfigEndpoint: front.URL}
	endpoint := "AWS_ENDPOINT_URL_STS=" + sts.URL
	temporary := "ASIA true"
	for _, c := range []struct {
		name   string
		env    []string
		config map[string]string
		want   string   // the kind of access key, and whether there is a session token
		asked  []string // what STS was asked, in parts
	}{
		{"environment", known(t), config, "AKID false", nil},
		{"session token in the environment", known(t, "AWS_SESSION_TOKEN=a-session-token"), config, "AKID true", nil},
		{"profile", append(alone(t), files("[profile ci]\n# %s\naws_access_key_id = PROFILE\naws_secret_access_key = %s\n")), with(config, ConfigProfile, "ci"), "PROF false", nil},
		{"profile of the environment", append(alone(t), "AWS_PROFILE=ci", files("[profile ci]\n# %s\naws_access_key_id = PROFILE\naws_secret_access_key = %s\n")), config, "PROF false", nil},
		{"role of a profile", append(alone(t), endpoint, files("[profile ci]\nrole_arn = %s\nsource_profile = base\nexternal_id = x-2\n[profile base]\naws_access_key_id = PROFILE\naws_secret_access_key = %s\n")),
			with(config, ConfigProfile, "ci"), temporary, []string{"Action=AssumeRole&", "ExternalId=x-2"}},
		{"role", known(t, endpoint), with(config, ConfigRoleARN, role), temporary, []string{"Action=AssumeRole&", "RoleSessionName=notation-awskms", "role%2Fsigner"}},
		{"role with a session name and an external id", known(t, endpoint), with(with(with(config, ConfigRoleARN, role), ConfigSessionName, "release-42"), ConfigExternalID, "x-3"),
			temporary, []string{"RoleSessionName=release-42", "ExternalId=x-3"}},
		{"web identity", append(alone(t), endpoint, "AWS_WEB_IDENTITY_TOKEN_FILE="+token, "AWS_ROLE_ARN="+role), config, temporary,
			[]string{"Action=AssumeRoleWithWebIdentity", "WebIdentityToken=the-identity-of-a-pod", "role%2Fsigner"}},
		{"role by way of a web identity", append(alone(t), endpoint, "AWS_WEB_IDENTITY_TOKEN_FILE="+token, "AWS_ROLE_ARN="+role), with(config, ConfigRoleARN, role), temporary,
			[]string{"Action=AssumeRole&", "RoleSessionName=notation-awskms"}},
		{"role of a container", append(alone(t), "AWS_CONTAINER_CREDENTIALS_FULL_URI="+container), config, "CONT true", nil},
		{"role of an instance", append(alone(t), "AWS_EC2_METADATA_DISABLED=false", "AWS_EC2_METADATA_SERVICE_ENDPOINT="+instance), config, "INST true", nil},
		{"credential process", append(alone(t), prints(t, `{"Version": 1, "AccessKeyId": "PROCESS", "SecretAccessKey": "`+secret+`"}`)), config, "PROC false", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked.Store("")
			process := plugintest.Start(t, "awskms", c.env...)
			mustGenerate(t, over(process), arn, c.config)
			if got := signedBy.Load(); got != c.want {
				t.Errorf("requests signed by %q, want %q", got, c.want)
			}
			for _, part := range c.asked {
				if body := asked.Load().(string); !strings.Contains(body, part) {
					t.Errorf("STS was asked %q, without %q", body, part)
				}
			}
			if printed := process.Printed(); strings.Contains(printed, "SDK ") {
				t.Errorf("the SDK printed %q", printed)
			}
		})
	}
}

// prints makes a configuration with a credential process that prints text.
func prints(t *testing.T, text string) string {
	t.Helper()
	show := "cat"
	if runtime.GOOS == "windows" {
		show = "type"
	}
	return "AWS_CONFIG_FILE=" + writeFile(t, fmt.Appendf(nil, "[default]\ncredential_process = %s %s\n", show, writeFile(t, []byte(text))))
}

func TestNoCredentials(t *testing.T) {
	empty := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(empty.Close)
	for name, c := range map[string]struct{ env, want string }{
		"credential process that prints something else": {prints(t, "key="+secret), "credential_process failed"},
		"instance without a role":                       {"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + empty.URL, "there are none: set AWS_PROFILE"},
	} {
		t.Run("PLG-12 "+name, func(t *testing.T) {
			process := plugintest.Start(t, "awskms", append(alone(t), "AWS_EC2_METADATA_DISABLED=false", c.env)...)
			_, err := generate(t, over(process), "alias/k", map[string]string{ConfigRegion: "us-east-2", ConfigTimeout: "5m"})
			plugintest.WantError(t, err, protocol.CodeAccessDenied, "get credentials", c.want)
			if strings.Contains(err.Error()+process.Printed(), secret) {
				t.Errorf("the secret is shown: %v", err)
			}
		})
	}
}

// roleCredentials is what containers and instances are told about their role.
func roleCredentials(id string) string {
	return fmt.Sprintf(`{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": %q, "SecretAccessKey": %q, "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}`, id, secret)
}

// container starts the endpoint by which containers get the credentials of their
// role, and returns its URL.
func container(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, roleCredentials("CONTAINER")) }))
	t.Cleanup(s.Close)
	return s.URL
}

// instance starts the metadata service of an EC2 instance, version 2, and returns
// its URL. (That of moto leaves out whether it succeeded.)
func instance(t *testing.T) string {
	const roles = "/latest/meta-data/iam/security-credentials/"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			io.WriteString(w, "token")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == roles:
			io.WriteString(w, "signer")
		case r.URL.Path == roles+"signer":
			io.WriteString(w, roleCredentials("INSTANCE"))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestNewCredentials changes the credentials under a session.
func TestNewCredentials(t *testing.T) {
	kms := testservers.LocalKMS(t)
	arn := kms.CreateKey(t, "ECC_NIST_P256", signVerify)
	front := testservers.NewFront(t, kms.URL, func(w http.ResponseWriter, r *http.Request) bool {
		old := strings.Contains(r.Header.Get("Authorization"), "Credential=AKIDOLD/")
		if old {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"}`)
		}
		return old
	})
	front.Start()
	session, config := over(warm(t)), at(kms, front.URL)
	path := writeFile(t, nil)
	setenv(t, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SHARED_CREDENTIALS_FILE="+path)
	write := func(id string) {
		if err := os.WriteFile(path, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("AKIDOLD")
	_, err := generate(t, session, arn, config)
	plugintest.WantError(t, err, protocol.CodeAccessDenied, "is expired: the credentials have expired: log in again")
	write("AKIDNEW")
	mustGenerate(t, session, arn, config)
}
