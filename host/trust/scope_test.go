package trust

import (
	"math/rand/v2"
	"regexp"
	"testing"
)

// TestScopeGrammar compares what is taken for a scope with the expressions that say so.
func TestScopeGrammar(t *testing.T) {
	t.Parallel()
	const label, part = `[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?`, `[a-z0-9]+(?:(?:[._]|__|-*)[a-z0-9]+)*`
	grammar := regexp.MustCompile(`^` + label + `(?:\.` + label + `)*(?::[0-9]+)?/` + part + `(?:/` + part + `)*$`)
	t.Run("TP-14 domain, port and repository", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		const letters = "ab0Z.-_:/*é\n"
		seen := map[bool]int{}
		for range 200_000 {
			text := []byte("a.b:1/c")[:random.IntN(8)]
			for range random.IntN(8) {
				text = append(text, letters[random.IntN(len(letters))])
			}
			want := grammar.Match(text)
			seen[want]++
			if got := checkScope(string(text)) == nil; got != want {
				t.Fatalf("%q: %t, want %t", text, got, want)
			}
		}
		if seen[true] < 1000 || seen[false] < 1000 {
			t.Errorf("too few of a kind: %v", seen)
		}
	})
}
