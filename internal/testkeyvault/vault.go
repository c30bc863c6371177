package testkeyvault

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Vault is a vault or managed HSM.
type Vault struct {
	// URL is https:// and the host.
	URL string
	// Challenge replaces WWW-Authenticate of the answer to a request without a
	// token, unless it is empty; set it before the vault is used.
	Challenge string
	azure     *Azure
	host      string

	mu           sync.Mutex
	created      time.Time
	keys         map[string][]*Key // versions of each name, the latest last
	certificates map[string][]*certificate
}

// Key is one version of a key.
type Key struct {
	// Private signs; nil for a key that only looks like one.
	Private crypto.Signer
	// Type and Curve are kty and crv of the JSON Web Key.
	Type, Curve string
	// Operations are what the key may be used for.
	Operations []string
	// Disabled, NotBefore and Expires are its attributes; zero times are absent.
	Disabled           bool
	NotBefore, Expires time.Time

	version string
	created time.Time
}

type certificate struct {
	key, version string // of the key
	cert         *x509.Certificate
	disabled     bool
}

// pageSize is the most that a list holds.
const pageSize = 25

// NewVault adds a vault by its host's name.
func (a *Azure) NewVault(host string) *Vault {
	v := &Vault{URL: "https://" + host, azure: a, host: host, created: time.Now().Add(-24 * time.Hour), keys: map[string][]*Key{}, certificates: map[string][]*certificate{}}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.vaults[host] = v
	return v
}

// AddKey adds a version to a key, or a key, and returns its URL with the version.
func (v *Vault) AddKey(name string, private crypto.Signer, edits ...func(*Key)) string {
	k := &Key{Private: private, Operations: []string{"sign", "verify"}, version: newVersion()}
	switch public := private.(type) {
	case *rsa.PrivateKey:
		k.Type = "RSA"
	case *ecdsa.PrivateKey:
		k.Type, k.Curve = "EC", public.Curve.Params().Name
	}
	for _, edit := range edits {
		edit(k)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.created = v.created.Add(time.Second)
	k.created = v.created
	v.keys[name] = append(v.keys[name], k)
	return v.URL + "/keys/" + name + "/" + k.version
}

// Edit changes the latest version of a key.
func (v *Vault) Edit(name string, edit func(*Key)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	versions := v.keys[name]
	edit(versions[len(versions)-1])
}

// AddCertificate adds a version to a certificate, or a certificate, with a key of
// the same name and version, and returns its URL with the version. Without cert
// its request is pending.
func (v *Vault) AddCertificate(name string, private crypto.Signer, cert *x509.Certificate) string {
	url := v.AddKey(name, private)
	version := url[strings.LastIndexByte(url, '/')+1:]
	v.mu.Lock()
	defer v.mu.Unlock()
	v.certificates[name] = append(v.certificates[name], &certificate{key: name, version: version, cert: cert})
	return v.URL + "/certificates/" + name + "/" + version
}

// DisableCertificate disables the latest version of a certificate.
func (v *Vault) DisableCertificate(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	versions := v.certificates[name]
	versions[len(versions)-1].disabled = true
}

func newVersion() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// serve answers one request.
func (v *Vault) serve(f *Front, w http.ResponseWriter, r *http.Request) {
	collection, name, version, action := split(r)
	permission := collection + "/get"
	switch {
	case action == "sign":
		permission = "keys/sign"
	case version == "versions":
		permission = "keys/list"
	}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		f.note("challenge")
		v.challenge(w, "AKV10000: Request is missing a Bearer or PoP token.")
		return
	}
	f.note(permission)
	if f.faulty(w, r) {
		return
	}
	principal, problem := v.authenticate(bearer)
	if problem != "" {
		v.challenge(w, problem)
		return
	}
	if !principal.may(permission) {
		v.forbid(w, principal, permission, collection+"/"+name)
		return
	}
	if r.URL.Query().Get("api-version") == "" {
		refuse(w, http.StatusBadRequest, "BadParameter", "", "api-version must be specified.")
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case permission == "keys/sign" && r.Method == http.MethodPost:
		v.sign(w, r, name, version)
	case permission == "keys/list" && r.Method == http.MethodGet:
		v.list(w, r, name)
	case permission == "keys/get" && r.Method == http.MethodGet:
		v.get(w, name, version)
	case permission == "certificates/get" && r.Method == http.MethodGet:
		v.getCertificate(w, name, version)
	default:
		refuse(w, http.StatusNotFound, "NotFound", "", "There is nothing at "+r.URL.Path)
	}
}

// split takes /COLLECTION/NAME[/VERSION[/ACTION]] apart.
func split(r *http.Request) (collection, name, version, action string) {
	elements := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	elements = append(elements, "", "", "", "")
	return elements[0], elements[1], elements[2], elements[3]
}

// resource is what a vault's tokens are for.
func (v *Vault) resource() string { return "https://" + v.host[strings.IndexByte(v.host, '.')+1:] }

// authority is the identity service of the vault's cloud.
func (v *Vault) authority() string {
	switch {
	case strings.HasSuffix(v.host, ".cn"):
		return "https://login.chinacloudapi.cn"
	case strings.HasSuffix(v.host, ".usgovcloudapi.net"):
		return "https://login.microsoftonline.us"
	}
	return "https://login.microsoftonline.com"
}

func (v *Vault) challenge(w http.ResponseWriter, message string) {
	challenge := cmp.Or(v.Challenge, fmt.Sprintf("Bearer authorization=%q, resource=%q", v.authority()+"/"+TenantID, v.resource()))
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, "Unauthorized", "", message)
}

// authenticate reads a token; the problem is "" when it is good.
func (v *Vault) authenticate(bearer string) (*Principal, string) {
	v.azure.mu.Lock()
	t, ok := v.azure.tokens[bearer]
	v.azure.mu.Unlock()
	switch {
	case !ok:
		return nil, "[BearerReadAccessTokenFailed] Error validating token: 'S2S12086'."
	case time.Now().After(t.expires):
		return nil, "[TokenExpired] Error validating token: 'S2S12086'."
	case t.tenant != TenantID:
		return nil, fmt.Sprintf("AKV10032: Invalid issuer. Expected one of https://sts.windows.net/%s/, found https://sts.windows.net/%s/.", TenantID, t.tenant)
	case t.audience != v.resource():
		return nil, fmt.Sprintf("AKV10022: Invalid audience. Expected %s, found: %s.", v.resource(), t.audience)
	}
	return t.principal, ""
}

// actions are the names of permissions in role definitions.
var actions = map[string]string{
	"keys/get": "keys/read", "keys/list": "keys/read", "keys/sign": "keys/sign/action", "certificates/get": "certificates/read",
}

func (v *Vault) forbid(w http.ResponseWriter, p *Principal, permission, path string) {
	name, _, _ := strings.Cut(v.host, ".")
	refuse(w, http.StatusForbidden, "Forbidden", "ForbiddenByRbac", strings.Join([]string{
		"Caller is not authorized to perform action on resource.",
		"If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.",
		"Caller: appid=" + p.ClientID + ";oid=00000000-0000-0000-0000-000000000001;iss=https://sts.windows.net/" + TenantID + "/",
		"Action: 'Microsoft.KeyVault/vaults/" + actions[permission] + "'",
		"Resource: '/subscriptions/0/resourcegroups/test/providers/microsoft.keyvault/vaults/" + name + "/" + path + "'",
		"Assignment: (not found)", "DenyAssignmentId: null", "DecisionReason: null ", "Vault: " + name + ";location=westeurope", "",
	}, "\r\n"))
}

// refuse answers with an error in the service's form.
func refuse(w http.ResponseWriter, status int, code, inner, message string) {
	body := object{"code": code, "message": message}
	if inner != "" {
		body["innererror"] = object{"code": inner}
	}
	writeJSON(w, status, object{"error": body})
}

// find returns a version of a key, or the latest for "".
func (v *Vault) find(w http.ResponseWriter, name, version string) *Key {
	versions := v.keys[name]
	for _, k := range slices.Backward(versions) {
		if version == "" || strings.EqualFold(k.version, version) {
			return k
		}
	}
	refuse(w, http.StatusNotFound, "KeyNotFound", "", "A key with (name/id) "+strings.TrimSuffix(name+"/"+version, "/")+" was not found in this key vault. If you recently deleted this key you may be able to recover it using the correct recovery command.")
	return nil
}

func (k *Key) attributes() object {
	attributes := object{"enabled": !k.Disabled, "created": k.created.Unix(), "updated": k.created.Unix(), "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}
	if !k.NotBefore.IsZero() {
		attributes["nbf"] = k.NotBefore.Unix()
	}
	if !k.Expires.IsZero() {
		attributes["exp"] = k.Expires.Unix()
	}
	return attributes
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (v *Vault) get(w http.ResponseWriter, name, version string) {
	k := v.find(w, name, version)
	if k == nil {
		return
	}
	jwk := object{"kid": v.URL + "/keys/" + name + "/" + k.version, "kty": k.Type, "key_ops": k.Operations}
	switch private := k.Private.(type) {
	case *rsa.PrivateKey:
		jwk["n"], jwk["e"] = encode(private.N.Bytes()), "AQAB"
	case *ecdsa.PrivateKey:
		point, err := private.PublicKey.Bytes()
		if err != nil {
			refuse(w, http.StatusInternalServerError, "InternalError", "", err.Error())
			return
		}
		half := len(point) / 2
		jwk["crv"], jwk["x"], jwk["y"] = k.Curve, encode(point[1:1+half]), encode(point[1+half:])
	default:
		jwk["crv"], jwk["x"], jwk["y"] = k.Curve, encode(make([]byte, 32)), encode(make([]byte, 32))
	}
	writeJSON(w, http.StatusOK, object{"key": jwk, "attributes": k.attributes(), "tags": object{}})
}

// list answers a page of a key's versions, in no useful order.
func (v *Vault) list(w http.ResponseWriter, r *http.Request, name string) {
	versions := slices.SortedFunc(slices.Values(v.keys[name]), func(a, b *Key) int { return cmp.Compare(a.version, b.version) })
	skip, _ := strconv.Atoi(r.URL.Query().Get("$skiptoken"))
	skip = min(max(skip, 0), len(versions))
	page := object{"nextLink": nil}
	if rest := len(versions) - skip; rest > pageSize {
		page["nextLink"] = fmt.Sprintf("%s:443/keys/%s/versions?api-version=%s&$skiptoken=%d&maxresults=%d", v.URL, name, r.URL.Query().Get("api-version"), skip+pageSize, pageSize)
	}
	items := []object{}
	for _, k := range versions[skip:min(skip+pageSize, len(versions))] {
		items = append(items, object{"kid": v.URL + "/keys/" + name + "/" + k.version, "attributes": k.attributes()})
	}
	page["value"] = items
	writeJSON(w, http.StatusOK, page)
}

// hashes are those of the algorithms, by their last three digits.
var hashes = map[string]protocol.HashAlgorithm{"256": protocol.HashSHA256, "384": protocol.HashSHA384, "512": protocol.HashSHA512}

func (v *Vault) sign(w http.ResponseWriter, r *http.Request, name, version string) {
	k := v.find(w, name, version)
	if k == nil {
		return
	}
	var body struct{ Alg, Value string }
	err := json.NewDecoder(r.Body).Decode(&body)
	digest, err2 := base64.RawURLEncoding.DecodeString(body.Value)
	if err != nil || err2 != nil || body.Alg == "" {
		refuse(w, http.StatusBadRequest, "BadParameter", "", "Property has invalid value.")
		return
	}
	now := time.Now()
	switch {
	case k.Disabled:
		refuse(w, http.StatusForbidden, "Forbidden", "KeyDisabled", "Operation sign is not allowed on a disabled key.")
	case !k.NotBefore.IsZero() && now.Before(k.NotBefore):
		refuse(w, http.StatusForbidden, "Forbidden", "KeyNotYetValid", "Operation sign is not allowed on a key that is not yet valid.")
	case !k.Expires.IsZero() && now.After(k.Expires):
		refuse(w, http.StatusForbidden, "Forbidden", "KeyExpired", "Operation sign is not allowed on an expired key.")
	case !slices.Contains(k.Operations, "sign"):
		refuse(w, http.StatusForbidden, "Forbidden", "KeyOperationForbidden", "Operation sign is not permitted on this key.")
	default:
		signature, problem := k.signature(r, body.Alg, digest)
		if problem != "" {
			refuse(w, http.StatusBadRequest, "BadParameter", "", problem)
			return
		}
		writeJSON(w, http.StatusOK, object{"kid": v.URL + "/keys/" + name + "/" + k.version, "value": encode(signature)})
	}
}

// signature signs a digest by an algorithm of RFC 7518; the problem is "" when it
// has.
func (k *Key) signature(r *http.Request, algorithm string, digest []byte) (signature []byte, problem string) {
	kind, bits := algorithm[:len(algorithm)-min(3, len(algorithm))], algorithm[max(0, len(algorithm)-3):]
	suite := protocol.Suite{Hash: hashes[bits]}
	for _, spec := range []protocol.KeySpec{protocol.KeySpecRSA2048, protocol.KeySpecRSA3072, protocol.KeySpecRSA4096} {
		if s, _ := protocol.SuiteOf(spec); s.Hash == suite.Hash {
			suite = s // for its hash: any goes with an RSA key of any size
		}
	}
	if suite.CryptoHash == 0 || len(digest) != suite.CryptoHash.Size() {
		return nil, fmt.Sprintf("Invalid length of 'value': %d bytes. Expected length of the digest of %s.", len(digest), algorithm)
	}
	err := errors.New("key and signing algorithm are incompatible: key https://" + r.Host + r.URL.Path + " is of type " + k.Type)
	switch private := k.Private.(type) {
	case *rsa.PrivateKey:
		if kind == "PS" {
			signature, err = rsa.SignPSS(rand.Reader, private, suite.CryptoHash, digest, signer.PSSOptions(suite))
		}
	case *ecdsa.PrivateKey:
		if own, _ := protocol.SuiteForKey(private.Public()); kind == "ES" && own.Hash == suite.Hash {
			if signature, err = ecdsa.SignASN1(rand.Reader, private, digest); err == nil {
				signature, err = signer.FixedSignature(own, signature)
			}
		}
	}
	if err != nil {
		return nil, err.Error()
	}
	return signature, ""
}

func (v *Vault) getCertificate(w http.ResponseWriter, name, version string) {
	var found *certificate
	for _, c := range slices.Backward(v.certificates[name]) {
		if version == "" || strings.EqualFold(c.version, version) {
			found = c
			break
		}
	}
	if found == nil {
		refuse(w, http.StatusNotFound, "CertificateNotFound", "", "A certificate with (name/id) "+strings.TrimSuffix(name+"/"+version, "/")+" was not found in this key vault.")
		return
	}
	id := "/" + name + "/" + found.version
	body := object{
		"id": v.URL + "/certificates" + id, "kid": v.URL + "/keys" + id, "sid": v.URL + "/secrets" + id,
		"attributes": object{"enabled": !found.disabled, "created": time.Now().Unix()},
		"policy":     object{"id": v.URL + "/certificates/" + name + "/policy", "key_props": object{"exportable": true, "kty": "EC", "reuse_key": false}, "issuer": object{"name": "Unknown"}},
	}
	if found.cert == nil {
		body["pending"] = object{"id": v.URL + "/certificates/" + name + "/pending"}
	} else {
		thumbprint := sha1.Sum(found.cert.Raw)
		maps.Copy(body, object{"cer": base64.StdEncoding.EncodeToString(found.cert.Raw), "x5t": encode(thumbprint[:])})
	}
	writeJSON(w, http.StatusOK, body)
}
