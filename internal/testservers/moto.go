package testservers

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// Moto is an AWS account as moto's server has it: IAM, STS, and a KMS that is good
// to tell who may use which operation, but whose signatures are not those of
// KMS (it hashes digests once more, and salts at maximum length).
//
// A proxy in front of it corrects one thing: to requests in JSON moto says in XML
// that they are denied, where KMS answers in JSON.
type Moto struct {
	// KMS is its KMS; the URL is that of IAM and STS too.
	KMS
}

// StartMoto starts an empty account for the time of the test.
func StartMoto(t testing.TB) *Moto {
	t.Helper()
	paths := provisioned(t, "moto")
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	s := start(t, "moto", nil, paths["python"], "-m", "moto.server", "-H", host, "-p", port)
	s.await(t, http.DefaultClient, "http://"+address+"/moto-api/")
	corrected := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host // which is signed
		},
		ModifyResponse: denyInJSON,
	}
	proxy := httptest.NewServer(corrected)
	t.Cleanup(proxy.Close)
	return &Moto{KMS{URL: proxy.URL, Region: "us-east-1"}}
}

// denyInJSON makes a denial in XML one in JSON, with the names that services have
// for it which speak JSON.
func denyInJSON(r *http.Response) error {
	if r.StatusCode != http.StatusForbidden || !strings.Contains(r.Request.Header.Get("Content-Type"), "json") {
		return nil
	}
	var denial struct {
		Code    string `xml:"Errors>Error>Code"`
		Message string `xml:"Errors>Error>Message"`
	}
	if err := xml.NewDecoder(r.Body).Decode(&denial); err != nil {
		return err
	}
	r.Body.Close()
	code := map[string]string{
		"AccessDenied": "AccessDeniedException", "InvalidClientTokenId": "UnrecognizedClientException", "SignatureDoesNotMatch": "InvalidSignatureException",
	}[denial.Code]
	body, err := json.Marshal(map[string]string{"__type": code, "message": denial.Message})
	if err != nil {
		return err
	}
	r.StatusCode, r.Body, r.ContentLength = http.StatusBadRequest, io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// Enforce makes IAM judge requests from now on: who signed them, and whether
// policies allow them.
func (m *Moto) Enforce(t testing.TB) {
	t.Helper()
	response, err := http.Post(m.URL+"/moto-api/reset-auth", "text/plain", strings.NewReader("0"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
}

// User makes a user who may do the actions, and returns an access key.
func (m *Moto) User(t testing.TB, name string, actions ...string) (id, secret string) {
	t.Helper()
	m.query(t, nil, "CreateUser", "UserName", name)
	m.query(t, nil, "PutUserPolicy", "UserName", name, "PolicyName", "test", "PolicyDocument", allow(t, actions))
	var answer struct {
		Key struct{ AccessKeyId, SecretAccessKey string } `xml:"CreateAccessKeyResult>AccessKey"`
	}
	m.query(t, &answer, "CreateAccessKey", "UserName", name)
	return answer.Key.AccessKeyId, answer.Key.SecretAccessKey
}

// Role makes a role that may do the actions, and returns its ARN. trust is the
// policy that says who may assume it.
func (m *Moto) Role(t testing.TB, name, trust string, actions ...string) string {
	t.Helper()
	var answer struct {
		Role struct{ Arn string } `xml:"CreateRoleResult>Role"`
	}
	m.query(t, &answer, "CreateRole", "RoleName", name, "AssumeRolePolicyDocument", trust)
	m.query(t, nil, "PutRolePolicy", "RoleName", name, "PolicyName", "test", "PolicyDocument", allow(t, actions))
	return answer.Role.Arn
}

// query sends a request to IAM and decodes the answer's XML.
func (m *Moto) query(t testing.TB, into any, action string, parameters ...string) {
	t.Helper()
	values := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for i := 0; i+1 < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.URL, strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", unsigned("iam", m.Region))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && into != nil {
		err = xml.Unmarshal(body, into)
	}
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", action, response.Status, err, body)
	}
}

// allow is an IAM policy.
func allow(t testing.TB, actions []string) string {
	t.Helper()
	policy, err := json.Marshal(map[string]any{
		"Version":   "2012-10-17",
		"Statement": []any{map[string]any{"Effect": "Allow", "Action": actions, "Resource": "*"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(policy)
}
