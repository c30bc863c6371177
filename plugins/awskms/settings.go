package awskms

import (
	"fmt"
	"net/url"
	"time"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// Plugin configuration, besides signer.ConfigCertificateChain. It comes before
// the environment and the shared files, which the AWS SDK reads.
const (
	ConfigProfile     = "profile"           // of the shared files; AWS_PROFILE
	ConfigRegion      = "region"            // AWS_REGION, or the profile's
	ConfigEndpoint    = "endpoint"          // URL of KMS; AWS_ENDPOINT_URL_KMS
	ConfigRoleARN     = "role_arn"          // a role to assume with the credentials found
	ConfigExternalID  = "external_id"       // that the role asks for
	ConfigSessionName = "role_session_name" // in CloudTrail; default: notation-awskms
	ConfigTimeout     = "timeout"           // of one request, like 20s
)

const (
	// defaultTimeout leaves a host time to try again within its own minute.
	defaultTimeout     = 20 * time.Second
	defaultSessionName = "notation-awskms"
)

// settings is all that key id and configuration say; "" leaves it to the SDK.
type settings struct {
	profile, region, endpoint        string
	roleARN, externalID, sessionName string
	timeout                          time.Duration
}

// readSettings checks a plugin configuration. keyRegion is that of the key's
// ARN, "" where there is none.
func readSettings(config map[string]string, keyRegion string) (settings, error) {
	err := signer.CheckConfig(config, ConfigProfile, ConfigRegion, ConfigEndpoint, ConfigRoleARN, ConfigExternalID, ConfigSessionName, ConfigTimeout)
	if err != nil {
		return settings{}, err
	}
	s := settings{
		profile: config[ConfigProfile], region: config[ConfigRegion], endpoint: config[ConfigEndpoint],
		roleARN: config[ConfigRoleARN], externalID: config[ConfigExternalID], sessionName: config[ConfigSessionName],
		timeout: defaultTimeout,
	}
	switch {
	case s.region == "":
		s.region = keyRegion
	case !label(s.region):
		return settings{}, invalid(ConfigRegion, "%q is not a region like us-east-1", s.region)
	case keyRegion != "" && s.region != keyRegion:
		return settings{}, invalid(ConfigRegion, "it is %s, but the key's ARN names region %s: leave it out", s.region, keyRegion)
	}
	if s.endpoint != "" {
		if u, err := url.Parse(s.endpoint); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
			return settings{}, invalid(ConfigEndpoint, "it is not a URL like https://vpce-1a2b-3c4d.kms.us-east-1.vpce.amazonaws.com")
		}
	}
	if s.roleARN == "" && (s.externalID != "" || s.sessionName != "") {
		return settings{}, invalid(ConfigRoleARN, "%s and %s are for a role to assume, and none is named", ConfigExternalID, ConfigSessionName)
	}
	if s.sessionName == "" {
		s.sessionName = defaultSessionName
	}
	if text := config[ConfigTimeout]; text != "" {
		if s.timeout, err = time.ParseDuration(text); err != nil || s.timeout <= 0 {
			return settings{}, invalid(ConfigTimeout, "%q is not a duration like 20s", text)
		}
	}
	return s, nil
}

// invalid makes the answer for a setting that can't be used.
func invalid(name, format string, args ...any) error {
	return protocol.Errorf(protocol.CodeValidation, "plugin config %s: %w", name, fmt.Errorf(format, args...))
}
