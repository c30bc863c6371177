package semver

import (
	"regexp"
	"testing"
)

func TestOrder(t *testing.T) {
	// The example of SemVer 2.0.0, section 11, and numbers beyond 64 bits.
	ordered := []string{
		"0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
		"1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.9", "1.0.10", "1.10.0", "2.0.0",
		"99999999999999999999.0.0", "100000000000000000000.0.0",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			va, err := Parse(a)
			if err != nil {
				t.Fatal(err)
			}
			vb, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if got := va.Compare(vb); sign(got) != sign(i-j) {
				t.Errorf("Compare(%s, %s) = %d", a, b, got)
			}
		}
	}
}

func TestPLG41(t *testing.T) {
	for _, s := range []string{"", "1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", "1.0.0 ", "1.0.0\n"} {
		t.Run("PLG-41 "+s, func(t *testing.T) {
			if _, err := Parse(s); err == nil {
				t.Errorf("Parse(%q) accepted it", s)
			}
		})
	}
	t.Run("PLG-41 build metadata has no order", func(t *testing.T) {
		a, _ := Parse("1.0.0+a")
		b, _ := Parse("1.0.0+b")
		if a.Compare(b) != 0 {
			t.Error("build metadata changes the order")
		}
	})
}

// FuzzParse compares Parse with the expression that semver.org suggests.
func FuzzParse(f *testing.F) {
	suggested := regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)
	for _, s := range []string{
		"1.2.3", "1.2", "1.2.3.4", "1..3", "01.2.3", "1.2.3-", "1.2.3--", "1.2.3-0", "1.2.3-01", "1.2.3-01a", "1.2.3-a..b",
		"1.2.3-a.-.0", "1.2.3+", "1.2.3+01", "1.2.3+a..b", "1.2.3+a-b", "1.2.3+a+b", "1.2.3-a+b-c.d", "1.2-a.3", "1.2.3-é", "-1.2.3", "1.2.3\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := Parse(s); (err == nil) != suggested.MatchString(s) {
			t.Errorf("Parse(%q): %v, other than the expression of semver.org", s, err)
		}
	})
}

func sign(n int) int { return max(-1, min(1, n)) }
