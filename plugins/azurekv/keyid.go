package azurekv

import (
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
)

const (
	maxKeyID  = 512 // bytes
	maxName   = 127 // characters of a key's or certificate's name
	maxVault  = 63  // characters of a vault's name, those of a host name's label
	hexDigits = 32  // of a version
)

// kind is what a key id names, as URLs spell it.
type kind string

const (
	kindKey         kind = "keys"
	kindCertificate kind = "certificates"
)

// keyName is a key id: the URL of a key or certificate.
type keyName struct {
	host    string // of the vault or managed HSM, in lower case
	service service
	kind    kind
	name    string
	version string // "" for none
}

// service is where vaults are in one cloud.
type service struct {
	domain string // what follows the vault's name
	hsm    bool   // these are managed HSMs, which have no certificates
	// cloud has the cloud's identity service; zero for the public one, which
	// AZURE_AUTHORITY_HOST may replace.
	cloud cloud.Configuration
}

// services are those that tokens are sent to.
var services = []service{
	{domain: "vault.azure.net"},
	{domain: "managedhsm.azure.net", hsm: true},
	{domain: "vault.azure.cn", cloud: cloud.AzureChina},
	{domain: "managedhsm.azure.cn", hsm: true, cloud: cloud.AzureChina},
	{domain: "vault.usgovcloudapi.net", cloud: cloud.AzureGovernment},
	{domain: "managedhsm.usgovcloudapi.net", hsm: true, cloud: cloud.AzureGovernment},
}

// parseKeyID reads https://VAULT/keys/NAME[/VERSION] or
// https://VAULT/certificates/NAME[/VERSION], and nothing that a URL may hold
// besides: no port, user, query, fragment or escape.
func parseKeyID(id string) (keyName, error) {
	if len(id) > maxKeyID {
		return keyName{}, fmt.Errorf("longer than %d bytes", maxKeyID)
	}
	rest, https := strings.CutPrefix(id, "https://")
	elements := strings.Split(rest, "/")
	if !https || len(elements) < 3 || len(elements) > 4 {
		return keyName{}, errors.New(`a key id looks like "https://VAULT.vault.azure.net/keys/NAME" or "https://VAULT.vault.azure.net/certificates/NAME", with "/VERSION" after it or without`)
	}
	n := keyName{host: strings.ToLower(elements[0]), kind: kind(elements[1]), name: elements[2]}
	var err error
	if n.service, err = serviceOf(n.host); err != nil {
		return keyName{}, err
	}
	if n.kind != kindKey && n.kind != kindCertificate {
		return keyName{}, fmt.Errorf("%q is neither keys nor certificates", elements[1])
	}
	if n.kind == kindCertificate && n.service.hsm {
		return keyName{}, errors.New("a managed HSM has keys and no certificates")
	}
	if !plain(n.name, maxName) {
		return keyName{}, fmt.Errorf("%q is not a name, which has 1 to %d letters, digits and hyphens", n.name, maxName)
	}
	if len(elements) == 4 {
		if n.version = strings.ToLower(elements[3]); len(n.version) != hexDigits || strings.Trim(n.version, "0123456789abcdef") != "" {
			return keyName{}, fmt.Errorf("%q is not a version, which has %d hexadecimal digits", elements[3], hexDigits)
		}
	}
	return n, nil
}

// serviceOf finds the service that a host of the form NAME.DOMAIN belongs to.
func serviceOf(host string) (service, error) {
	name, domain, _ := strings.Cut(host, ".")
	var domains []string
	for _, s := range services {
		if s.domain == domain && plain(name, maxVault) {
			return s, nil
		}
		domains = append(domains, "NAME."+s.domain)
	}
	return service{}, fmt.Errorf("%q is not the host of a vault or managed HSM, which looks like %s", host, strings.Join(domains, ", "))
}

// plain tells whether text is made of letters, digits and hyphens alone.
func plain(text string, limit int) bool {
	return text != "" && len(text) <= limit && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
	})
}

func (n keyName) vaultURL() string { return "https://" + n.host }
