package awskms

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/signet-project/signet/internal/plugintest"
	"github.com/signet-project/signet/protocol"
)

func TestParseKeyID(t *testing.T) {
	for id, region := range map[string]string{
		"1234abcd-12ab-34cd-56ef-1234567890ab": "",
		"mrk-1234abcd12ab34cd56ef1234567890ab": "",
		"alias/release":                        "",
		"alias/team-a/Release_1":               "",
		"arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab":         "us-east-2",
		"arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef12345678":  "us-gov-west-1",
		"arn:aws-cn:kms:cn-north-1:111122223333:alias/team/release":                           "cn-north-1",
		"arn:aws:kms:ap-southeast-3:111122223333:alias/" + strings.Repeat("a", 256-len("k/")): "ap-southeast-3",
	} {
		if got, err := parseKeyID(id); got.region != region || err != nil {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	for _, id := range []string{
		"", "release key", "alias/", "alias/a b", "key/1234", "a\nb", "alias/é", "arn:", "arn:aws:kms", "arn:aws:kms:us-east-2:111122223333:key/",
		"arn:aws:s3:us-east-2:111122223333:key/x", "arn:aws:kms::111122223333:key/x", "arn:aws:kms:us-east-2::key/x", "arn:aws:kms:us-east-2:1111:grant/x",
		"arn:aws:kms:evil.example/:111122223333:key/x", "arn:aws:kms:us-east-2:111122223333:key/x y", "arn:aws:kms:us-east-2:11112222333x:key/x",
		"arn:aws:kms:us-east-2:111122223333:key:x", "arn:aws:kms:" + strings.Repeat("a", 64) + ":111122223333:key/x", strings.Repeat("a", maxKeyID+1),
	} {
		if got, err := parseKeyID(id); err == nil || strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%q: %+v, %v", id, got, err)
		}
	}
}

func FuzzParseKeyID(f *testing.F) {
	for _, seed := range []string{"alias/release", "1234abcd-12ab", "arn:aws:kms:us-east-2:111122223333:key/1234", "arn:aws:kms:a.b:1:alias/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		key, err := parseKeyID(id)
		if err != nil {
			return
		}
		// The region becomes part of a host name.
		if strings.ContainsAny(key.region, "./:@?#% \n") || !strings.Contains(id, key.region) || strings.HasPrefix(id, "arn:") != (key.region != "") {
			t.Errorf("%q became %+v", id, key)
		}
	})
}

func TestSettings(t *testing.T) {
	defaults := settings{sessionName: "notation-awskms", timeout: 20 * time.Second}
	changed := func(change func(*settings)) settings { s := defaults; change(&s); return s }
	for name, c := range map[string]struct {
		config    map[string]string
		keyRegion string
		want      settings
	}{
		"nothing":           {nil, "", defaults},
		"region of the key": {nil, "eu-west-1", changed(func(s *settings) { s.region = "eu-west-1" })},
		"region named":      {map[string]string{ConfigRegion: "eu-west-1"}, "", changed(func(s *settings) { s.region = "eu-west-1" })},
		"region twice":      {map[string]string{ConfigRegion: "eu-west-1"}, "eu-west-1", changed(func(s *settings) { s.region = "eu-west-1" })},
		"all": {map[string]string{
			ConfigProfile: "p", ConfigRegion: "r", ConfigEndpoint: "https://e", ConfigRoleARN: "a", ConfigExternalID: "x", ConfigSessionName: "s", ConfigTimeout: "1m30s", "certificate_chain": "/c",
		}, "", settings{"p", "r", "https://e", "a", "x", "s", 90 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := readSettings(c.config, c.keyRegion); got != c.want || err != nil {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	for name, c := range map[string]struct {
		config map[string]string
		want   string
	}{
		"a slip":                    {map[string]string{"regoin": "x"}, `"regoin" is not known: there are certificate_chain, endpoint, external_id, profile, region, role_arn, role_session_name, timeout`},
		"an access key":             {map[string]string{"aws_access_key_id": "AKIA"}, "no secret"},
		"a secret key":              {map[string]string{"secret_access_key": "hunter2"}, "no secret"},
		"a session token":           {map[string]string{"session_token": "hunter2"}, "no secret"},
		"a host as a region":        {map[string]string{ConfigRegion: "evil.example"}, "not a region"},
		"another region":            {map[string]string{ConfigRegion: "eu-west-1"}, "the key's ARN names region us-east-2"},
		"no URL":                    {map[string]string{ConfigEndpoint: "kms:8080"}, "not a URL"},
		"another scheme":            {map[string]string{ConfigEndpoint: "file:///etc"}, "not a URL"},
		"a password in a URL":       {map[string]string{ConfigEndpoint: "https://me:hunter2@kms"}, "not a URL"},
		"a session without a role":  {map[string]string{ConfigSessionName: "x"}, "none is named"},
		"an id without a role":      {map[string]string{ConfigExternalID: "x"}, "none is named"},
		"a timeout":                 {map[string]string{ConfigTimeout: "soon"}, "timeout"},
		"no time":                   {map[string]string{ConfigTimeout: "0s"}, "timeout"},
		"a timeout without a unit ": {map[string]string{ConfigTimeout: "20"}, "like 20s"},
	} {
		t.Run(name, func(t *testing.T) {
			before := maps.Clone(c.config)
			_, err := readSettings(c.config, "us-east-2")
			plugintest.WantError(t, err, protocol.CodeValidation, c.want)
			if strings.Contains(err.Error(), "hunter2") || !maps.Equal(before, c.config) {
				t.Errorf("%v, %v", c.config, err)
			}
		})
	}
}

func TestServicesAreShared(t *testing.T) {
	warm(t) // for its environment
	ss := &services{known: map[settings]*service{}}
	open := func(region string) *service {
		t.Helper()
		opened, err := ss.open(t.Context(), "alias/k", map[string]string{ConfigRegion: region})
		if err != nil {
			t.Fatal(err)
		}
		return opened.(*key).service
	}
	first, again, other := open("us-east-1"), open("us-east-1"), open("us-east-2")
	if first != again || first == other {
		t.Error("services are not shared by settings")
	}
	for i := range 2 * maxServices {
		open(fmt.Sprintf("us-moon-%d", i))
		if len(ss.known) > maxServices {
			t.Fatalf("%d services are kept", len(ss.known))
		}
	}
}
