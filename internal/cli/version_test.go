package cli

import "testing"

func TestReleased(t *testing.T) {
	t.Parallel()
	for module, want := range map[string]string{
		"v1.2.3":                             "1.2.3",
		"v1.2.3-rc.1":                        "1.2.3-rc.1",
		"(devel)":                            "x",
		"":                                   "x",
		"v0.0.0-20261126041524-f23e9d8f23e9": "x", // of a commit
		"v0.0.0-20261126041524-f23e9d8f23e9+dirty": "x",
		"v1.2.3+dirty": "x",
	} {
		if got := released(module, "x"); got != want {
			t.Errorf("%q: %q, want %q", module, got, want)
		}
	}
}
