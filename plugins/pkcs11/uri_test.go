package pkcs11

import (
	"maps"
	"strings"
	"testing"
)

func TestParseURI(t *testing.T) {
	for text, want := range map[string]uri{
		"pkcs11:":                               {path: map[string]string{}},
		"PKCS11:token=a%20b;object=k":           {path: map[string]string{"token": "a b", "object": "k"}},
		"pkcs11:id=%00%ff%3B;type=private":      {path: map[string]string{"id": "\x00\xff;", "type": "private"}},
		"pkcs11:token=;serial=1":                {path: map[string]string{"token": "", "serial": "1"}},
		"pkcs11:slot-id=4711?module-path=/a%26": {path: map[string]string{"slot-id": "4711"}, modulePath: "/a&"},
		"pkcs11:object=k?pin-source=file:/etc/pin&module-path=/m.so&x-vendor=1": {path: map[string]string{"object": "k"}, modulePath: "/m.so", pinSource: "file:/etc/pin"},
		"pkcs11:object=k?module-name=m&module-path=/m.so":                       {path: map[string]string{"object": "k"}, modulePath: "/m.so"},
		"pkcs11:object=a=b&c": {path: map[string]string{"object": "a=b&c"}},
	} {
		got, err := parseURI(text)
		if err != nil || !maps.Equal(got.path, want.path) || got.modulePath != want.modulePath || got.pinSource != want.pinSource {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                   "not a PKCS #11 URI",
		"my-key":                             "not a PKCS #11 URI",
		"pkcs11:tokn=x":                      `"tokn" is not known`,
		"pkcs11:token=x;":                    "name=value",
		"pkcs11:token":                       "name=value",
		"pkcs11:token=x;token=y":             "twice",
		"pkcs11:id=%4":                       "cut off",
		"pkcs11:id=%zz":                      "hexadecimal",
		"pkcs11:id=%+1":                      "hexadecimal",
		"pkcs11:object=%ff":                  "not UTF-8",
		"pkcs11:object=a%00b":                "not UTF-8",
		"pkcs11:type=secret-key":             "type is",
		"pkcs11:slot-id=x":                   "slot-id",
		"pkcs11:object=k?pin-value=987654":   "pin-value is refused",
		"pkcs11:object=k?module-name=opensc": "module-path",
		"pkcs11:object=k?pin-source=a?b&=":   "name=value",
		"pkcs11:object=" + strings.Repeat("x", 1<<11): "longer",
		"pkcs11:" + strings.Repeat("x", 1<<14):        "longer",
	} {
		got, err := parseURI(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "987654") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	for _, seed := range []string{"pkcs11:", "pkcs11:token=a;object=b;id=%01%02?module-path=/m&pin-source=/p", "pkcs11:id=%", "pkcs11:object=k?pin-value=1234"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseURI(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("message %q", err)
			}
			return
		}
		again, err := parseURI("pkcs11:" + u.render())
		if err != nil || !maps.Equal(u.path, again.path) || u.pinSource != again.pinSource || u.modulePath != again.modulePath {
			t.Errorf("%q became %q: %v", text, u.render(), err)
		}
	})
}

// render writes every byte percent-encoded.
func (u *uri) render() string {
	var path, query []string
	for name, value := range u.path {
		path = append(path, name+"="+encodeID([]byte(value)))
	}
	for name, value := range map[string]string{"module-path": u.modulePath, "pin-source": u.pinSource} {
		if value != "" {
			query = append(query, name+"="+encodeID([]byte(value)))
		}
	}
	return strings.Join(path, ";") + "?" + strings.Join(query, "&")
}
