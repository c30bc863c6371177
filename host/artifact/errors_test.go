package artifact

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"testing"
)

func TestTransportText(t *testing.T) {
	alert := &net.OpError{Op: "remote error", Err: tls.AlertError(116)}
	// The second is what net/http makes of one that comes before the request has gone out.
	for _, cause := range []error{alert, fmt.Errorf("readLoopPeekFailLocked: %w", alert)} {
		got := transportText(&url.Error{Op: "Get", URL: "https://registry/?secret", Err: cause})
		if got != "remote error: tls: certificate required" {
			t.Errorf("%q", got)
		}
	}
}
