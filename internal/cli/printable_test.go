package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// hostile has something of everything that must not reach a terminal.
const hostile = "a\x1b[2Jb\u009b31mc\x7fd\u202ee\u2028f\ue000g\xffh\U000e0041i\rj\x00k"

// shown is what becomes of it.
const shown = "a�[2Jb�31mc�d�e�f�g�h�i�j�k"

func TestPrintable(t *testing.T) {
	if got := printable(hostile + "\nline\tä\r\n€"); got != shown+"�line�ä��€" {
		t.Errorf("%q", got)
	}
	if got := printableText(hostile + "\nline\tä\r\n€"); got != shown+"\nline\tä\n€" {
		t.Errorf("%q", got)
	}
}

func TestPrintableJSON(t *testing.T) {
	value := map[string]string{hostile: "<ä€\U0001f600>"}
	data, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	safe := printableJSON(data)
	if printableText(string(safe)) != string(safe) {
		t.Errorf("%q", safe)
	}
	var before, after any
	if err := json.Unmarshal(data, &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(safe, &after); err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("%v\n%q\n%q", err, before, after)
	}
	if !strings.Contains(string(safe), `ä€`+"\U0001f600") {
		t.Error("harmless text was escaped")
	}
}

func TestLineWriter(t *testing.T) {
	text, want := hostile+"ä€\U0001f600\r\n\tend", shown+"ä€\U0001f600\n\tend"
	for size := 1; size <= len(text); size++ {
		var out strings.Builder
		l := &lineWriter{w: &out}
		for rest := text; rest != ""; {
			n, err := l.Write([]byte(rest[:min(size, len(rest))]))
			if n != min(size, len(rest)) || err != nil {
				t.Fatal(n, err)
			}
			rest = rest[n:]
		}
		if out.String() != want {
			t.Fatalf("in pieces of %d bytes: %q", size, out.String())
		}
	}
	for text, want := range map[string]string{"": "", "a\n": "a\n", "a": "a\n", "a\r": "a\n", "\xe2\x82": "��\n", "a\n\xe2": "a\n�\n"} {
		var out strings.Builder
		l := &lineWriter{w: &out}
		l.Write([]byte(text))
		if l.endLine(); out.String() != want {
			t.Errorf("%q became %q", text, out.String())
		}
	}
	t.Run("pieces of two sources", func(t *testing.T) {
		var out strings.Builder
		l := &lineWriter{w: &out}
		l.Write([]byte("half \xe2\x82"))
		l.Write([]byte("Error: x\n"))
		if out.String() != "half ��Error: x\n" {
			t.Errorf("%q", out.String())
		}
	})
}
