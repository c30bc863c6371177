package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
		err        string
	}{
		{name: "order, space, comments, line ends", text: "\n# a comment\nb\r\n \t a\n\n#c\nlast", want: []string{"b", "a", "last"}},
		{name: "each once", text: "a\nb\na\nb\n", want: []string{"a", "b"}},
		{name: "the longest line", text: strings.Repeat("x", MaxLine-1) + "\n", want: []string{strings.Repeat("x", MaxLine-1)}},
		{name: "a line that is too long", text: "a\n" + strings.Repeat("x", MaxLine+1), err: "line 2: longer than 8192 bytes"},
		{name: "a binary", text: "a\nb\n\x7fELF\x00", err: "line 3: not text"},
		{name: "no UTF-8", text: "\xff", err: "line 1: not text"},
		{name: "nothing", text: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := NewList(Shard{})
			err := list.ReadFrom(t.Context(), strings.NewReader(c.text))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || !slices.Equal(list.Entries(), c.want) {
				t.Errorf("%q, %v; want %q", list.Entries(), err, c.want)
			}
		})
	}
	t.Run("more entries than are taken", func(t *testing.T) {
		list := NewList(Shard{})
		list.limit = 10
		for i := range list.limit {
			if err := list.Add(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := list.Add("0"); err != nil {
			t.Errorf("an entry that is there already: %v", err)
		}
		if err := list.Add("one more"); err == nil {
			t.Error("no error")
		}
	})
	t.Run("input that never comes", func(t *testing.T) {
		input, _ := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := NewList(Shard{}).ReadFrom(ctx, input); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestShard(t *testing.T) {
	getenv := func(name string) string { return map[string]string{JobIndexVariable: "2"}[name] }
	for text, want := range map[string]Shard{"": {}, "0/1": {0, 1}, "3/4": {3, 4}, "/3": {2, 3}} {
		if got, err := ParseShard(text, getenv); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"/", "/2", "4/4", "-1/4", "1", "1/0", "1/-1", "a/b", "1/2/3", "1/99999999", "1.5/2"} {
		if got, err := ParseShard(text, getenv); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
	t.Run("every entry is in one shard, and shards are of a size", func(t *testing.T) {
		const entries, shards = 3000, 5
		var sizes [shards]int
		for i := range entries {
			entry, in := fmt.Sprintf("registry.example/app%d:v1", i), 0
			for index := range shards {
				if (Shard{index, shards}).Has(entry) {
					sizes[index]++
					in++
				}
			}
			if in != 1 || !(Shard{}).Has(entry) || !(Shard{0, 1}).Has(entry) {
				t.Fatalf("%s is in %d shards", entry, in)
			}
		}
		for _, size := range sizes {
			if size < entries/shards*3/4 || size > entries/shards*5/4 {
				t.Errorf("sizes %v", sizes)
			}
		}
	})
	t.Run("the split is the one documented", func(t *testing.T) {
		// The SHA-256 of this text begins with f7f9c9b7f6049223, which is 3 modulo 4.
		if !(Shard{3, 4}).Has("registry.example/app:v1") {
			t.Error("it is another one")
		}
	})
}

func TestBasis(t *testing.T) {
	one := NewBasis("verify", "a")
	if !strings.HasPrefix(one.String(), "sha256:") || len(one.String()) != 71 {
		t.Error(one)
	}
	same := NewBasis("verify")
	same.Add([]byte("a"))
	if one.String() != same.String() {
		t.Error("the same parts differ")
	}
	if one.String() == NewBasis("verifya").String() || one.String() == NewBasis("verif", "ya").String() {
		t.Error("where parts end makes no difference")
	}
}
