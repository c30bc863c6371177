package conformance

import (
	"net"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	t.Run("PLG-76 a listener that accepts nobody gives no verdict", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := &proxy{listener: listener, callers: make(chan net.Addr)}
		close(p.callers) // as after an error of Accept
		if called, err := p.called(); err == nil || called {
			t.Errorf("called %t, error %v", called, err)
		}
	})
	t.Run("PLG-76 only others count", func(t *testing.T) {
		for _, want := range []bool{false, true} {
			p, err := newProxy()
			if err != nil {
				t.Fatal(err)
			}
			if want {
				conn, err := net.Dial("tcp", p.listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
			}
			if called, err := p.called(); err != nil || called != want {
				t.Errorf("called %t, error %v", called, err)
			}
		}
	})
}

func TestReplyText(t *testing.T) {
	t.Parallel()
	huge := []byte(`{"a":"` + strings.Repeat("é", 1<<20) + `"}`)
	if text := (&reply{answer: huge}).String(); len(text) > 2000 {
		t.Errorf("a text of %d bytes", len(text))
	}
	if fault := objectFault(huge[1:]); len(fault) > 2000 {
		t.Errorf("a fault of %d bytes", len(fault))
	}
	if text := excerpt("a\nb " + string(huge)); len(text) > 500 || !strings.HasPrefix(text, "a b {") || !strings.HasSuffix(text, "…") {
		t.Errorf("excerpt %q", text)
	}
}
