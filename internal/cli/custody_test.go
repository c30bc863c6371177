package cli

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/pki"
	"github.com/signet-project/signet/internal/testpki"
	"github.com/signet-project/signet/internal/testplugin"
	"github.com/signet-project/signet/internal/testservers"
	"github.com/signet-project/signet/internal/testtsa"
	"github.com/signet-project/signet/protocol"
)

// What a page may be made of. Nothing of it runs, loads or links.
var (
	pageElements   = strings.Fields("html head meta title style body header h1 h2 h3 p bdi dl dt dd section div span b code ol ul li br table tr th td svg line text rect footer")
	pageAttributes = strings.Fields("lang charset http-equiv content name class style viewbox role aria-label x x1 x2 y y1 y2 width height rx text-anchor")
)

// readPage checks a page's form and returns its text.
func readPage(t *testing.T, page string) string {
	t.Helper()
	if !strings.HasPrefix(page, "<!DOCTYPE html>\n<html lang=\"en\">") {
		t.Errorf("page begins %.60q", page)
	}
	var text strings.Builder
	var open []string
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := tokens.Next()
		token := tokens.Token()
		switch kind {
		case html.ErrorToken:
			if !errors.Is(tokens.Err(), io.EOF) || len(open) != 0 {
				t.Errorf("page ends with %v and %v open", tokens.Err(), open)
			}
			return text.String()
		case html.TextToken:
			if len(open) > 0 && open[len(open)-1] == "style" {
				for _, bad := range []string{"url(", "@import", "expression", "\\"} {
					if strings.Contains(token.Data, bad) {
						t.Errorf("style has %s", bad)
					}
				}
				continue
			}
			text.WriteString(token.Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			if !slices.Contains(pageElements, token.Data) {
				t.Errorf("element %s", token)
			}
			for _, attribute := range token.Attr {
				if !slices.Contains(pageAttributes, strings.ToLower(attribute.Key)) || strings.Contains(attribute.Val, "://") {
					t.Errorf("attribute %s in %s", attribute.Key, token)
				}
			}
			if kind == html.StartTagToken && token.Data != "meta" && token.Data != "br" {
				open = append(open, token.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("%s closes %v", token, open)
			}
			open = open[:len(open)-1]
			text.WriteString(" ")
		case html.CommentToken:
			t.Errorf("comment %s", token)
		}
	}
}

// shows wants texts on a page, whatever white space is between words.
func shows(t *testing.T, text string, wanted ...string) {
	t.Helper()
	flat := strings.Join(strings.Fields(text), " ")
	for _, want := range wanted {
		if !strings.Contains(flat, want) {
			t.Errorf("the page lacks %q:\n%s", want, flat)
		}
	}
}

// forgeBy puts a signature by a key into the layout.
func (p *place) forgeBy(signer string, pairs ...string) {
	p.t.Helper()
	if _, err := forge(p.t.Context(), p.path("layout"), p.path(signer), pairs); err != nil {
		p.t.Fatal(err)
	}
}

func TestCustody(t *testing.T) {
	t.Parallel()
	newCustody := func(t *testing.T) (*place, string) {
		p := newPlace(t)
		return p, p.path("layout") + "@" + p.digest
	}
	inspect := func(p *place, args ...string) string {
		return readPage(p.t, p.must(append([]string{"inspect", "--output", "html", "--oci-layout"}, args...)...))
	}
	t.Run("CLI-22 every fact of every signature, and the verdict", func(t *testing.T) {
		t.Parallel()
		p, reference := newCustody(t)
		authority := testpki.Root(t, "time root").TSA(t, "time", protocol.KeySpecEC256)
		tsa := testtsa.NewServer(t, testtsa.Options{Signer: authority}, testtsa.Behaviour{})
		p.write("tsa.crt", authority.Issuer.CertPEM())
		p.must("cert", "add", "-t", "tsa", "-s", "clock", p.path("tsa.crt"))
		p.write("config/trustpolicy.oci.json", []byte(strings.Replace(worldPolicy, `"ca:acme"`, `"ca:acme","tsa:clock"`, 1)))
		p.write("config/signingkeys.json", fmt.Appendf(nil, `{"default":"a","keys":[{"name":"a","keyPath":%q,"certPath":%q}]}`, p.path("acme.key"), p.path("acme.crt")))
		testpki.Root(t, "other root").Leaf(t, "other", protocol.KeySpecEC384).WriteFiles(t, p.dir, "other")
		p.forgeBy("other", "note=by another", "agent=forge/2", "noncritical:com.acme.level=high")
		p.must("sign", "--oci-layout", "--expiry", "48h", "-m", "build=42", "--timestamp-url", tsa.URL, "--timestamp-root-cert", p.path("tsa.crt"), reference)
		text := inspect(p, "--scope", "local/app", reference)
		chain := p.signer.Chain()
		shows(t, text,
			reference, "application/vnd.oci.image.manifest.v1+json", p.digest, "434 bytes", "signatures found 2",
			"✓ Verified by statement all (level strict) of the trust policy in force",
			"Signature 1 of 2", "Signature 2 of 2", "✓ passes the policy and counts", "✗ does not count",
			"signed by CN=acme,O=signet test", "signed by CN=other,O=signet test", "agent (not signed) forge/2", "com.acme.level high", "note by another", "build 42",
			"ECDSA-SHA-256", "ECDSA-SHA-384", "application/jose+json", "notary.x509", "signature expires",
			"SHA-256 "+pki.Fingerprint(chain[0]), "SHA-256 "+pki.Fingerprint(chain[1]), "CN=acme root,O=signet test,L=Seattle,ST=WA,C=US trusted certificate",
			chain[0].NotAfter.UTC().Format("2006-01-02 15:04:05 UTC"), pki.Fingerprint(authority.Cert),
			"The signature was there between", "There is none: only the signer says when it was signed.",
			"authenticity ✓ passed", "authenticity ✗ failed", "the thumbprints in the signature manifest match no trusted certificate",
			"authenticTimestamp ✓ passed", "integrity ✓ passed", "Revocation", "Revocation of the timestamp authority",
			"by signet "+Version(), "This page needs no network",
		)
		if strings.Contains(text, "Nobody has verified that here") {
			t.Error("the timestamp was verified")
		}
	})
	t.Run("TSA-16 a timestamp that was examined and not accepted proves nothing", func(t *testing.T) {
		t.Parallel()
		p, reference := newCustody(t)
		p.forgeBy("acme")
		a := newApp(Env{Args: []string{"signet"}, Stdout: io.Discard, Stderr: io.Discard})
		found, err := a.examine(t.Context(), "inspect", nil, reference, true, 1)
		if err != nil {
			t.Fatal(err)
		}
		for view := range a.views(t.Context(), found, new([]unreadSignature)) {
			for _, status := range []host.Status{host.StatusPassed, host.StatusFailed, host.StatusSkipped} {
				outcome := signatureOutcomeView{Digest: view.Digest, Timestamp: &stampView{}, Checks: []checkView{{Check: "authenticTimestamp", Status: string(status)}}}
				page := &custodyPage{Verdict: &outcomeView{Signatures: []signatureOutcomeView{outcome}}}
				if got := page.signature(view).Proven; got != (status == host.StatusPassed) {
					t.Errorf("%s: proven is %t", status, got)
				}
			}
		}
	})
	t.Run("CLI-22 another policy, and none", func(t *testing.T) {
		t.Parallel()
		p, reference := newCustody(t)
		p.forgeBy("acme")
		p.write("draft.json", []byte(`{"version":"1.0","trustPolicies":[{"name":"draft","registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:nobody"],"trustedIdentities":["*"]}]}`))
		shows(t, inspect(p, "--scope", "local/app", "--policy", p.path("draft.json"), reference),
			"✗ Not verified by statement draft (level strict) of "+p.path("draft.json"), `the trust store "nobody" of type "ca" does not exist`)
		p.write("skip.json", []byte(`{"version":"1.0","trustPolicies":[{"name":"off","registryScopes":["local/app"],"signatureVerification":{"level":"skip"}}]}`))
		shows(t, inspect(p, "--scope", "local/app", "--policy", p.path("skip.json"), reference), "– Verification is skipped", "not examined by the policy: it skips verification")
		shows(t, inspect(p, "--scope", "other/app", "--policy", p.path("skip.json"), reference), "No verdict", "no applicable oci trust policy statement")
		shows(t, inspect(p, reference), "No verdict", "give one with --scope")
		if err := os.Remove(p.path("config/trustpolicy.oci.json")); err != nil {
			t.Fatal(err)
		}
		shows(t, inspect(p, "--scope", "local/app", reference), "No verdict", `There is no trust policy here: import one with "signet policy import"`)
		p.refused(`^Error: failed to read the trust policy: `, "inspect", "-o", "html", "--oci-layout", "--policy", p.path("none.json"), reference)
		p.refused(`^Error: trust policy .*acme.crt: `, "inspect", "-o", "html", "--oci-layout", "--policy", p.path("acme.crt"), reference)
		p.refused(`^Error: --policy and --scope are for --output html`, "inspect", "--oci-layout", "--policy", p.path("draft.json"), reference)
	})
	t.Run("CLI-22 no signature, and several of which one is enough", func(t *testing.T) {
		t.Parallel()
		p, reference := newCustody(t)
		shows(t, inspect(p, "--scope", "local/app", reference), "signatures found 0", "✗ Not verified", "no signature is associated with")
		p.forgeBy("acme")
		p.forgeBy("acme", "format=cose")
		shows(t, inspect(p, "--scope", "local/app", reference), "not examined by the policy: the signatures before it decided")
		shows(t, inspect(p, "--scope", "local/app", "--max-signatures", "1", reference), "signatures found 1 (there are more: only these were looked at)")
	})
	t.Run("PLG-40 a plugin is run where verify would run it, and nowhere else", func(t *testing.T) {
		t.Parallel()
		p, reference := newCustody(t)
		p.plugin("acme.check", testplugin.Script{Record: p.path("asked")})
		testpki.Root(t, "other root").Leaf(t, "other", protocol.KeySpecEC256).WriteFiles(t, p.dir, "other")
		p.forgeBy("other", "plugin=acme.check")
		inspect(p, "--scope", "local/app", reference)
		inspect(p, reference)
		if _, err := os.Stat(p.path("asked")); err == nil {
			t.Error("the plugin was run for a chain that is not trusted")
		}
		p.forgeBy("acme", "plugin=acme.check")
		shows(t, inspect(p, "--scope", "local/app", reference), "Plugins called acme.check 1.0.0 , named by the signature")
	})
	t.Run("CLI-26 GEN-11 hostile content is shown and does nothing", func(t *testing.T) {
		t.Parallel()
		p, reference := newCustody(t)
		evil := `"><script>alert(1)</script><img src=x onerror=alert(2)>' {{.}} ` + "\u202egnp\u200b\x1b]0;x\x07"
		name := testpki.DefaultSubject(evil)
		name.OrganizationalUnit = []string{"</title></style><svg onload=alert(3)>"}
		far := testpki.Validity(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
		testpki.Root(t, "root", testpki.Subject(pkix.Name{CommonName: "<b>root</b>"})).Leaf(t, "evil", protocol.KeySpecEC256, testpki.Subject(name), far).WriteFiles(t, p.dir, "evil")
		p.forgeBy("evil", "note="+evil+strings.Repeat("long ", 1000), "agent=javascript:alert(4)"+evil, "noncritical:"+evil+"="+evil, "expiry=@9999-12-31T23:59:59Z", "time=@1900-01-01T00:00:00Z")
		p.must("list", "--oci-layout", reference)
		page := p.must("inspect", "--output", "html", "--oci-layout", "--scope", "local/app", reference)
		text := readPage(t, page)
		shows(t, text, `"><script>alert(1)</script><img src=x onerror=alert(2)>'`, "javascript:alert(4)", `\</title\>\</style\>\<svg onload=alert(3)\>`, `\<b\>root\</b\>`, "characters more)")
		for _, r := range []string{"\u202e", "\u200b", "\x1b", "\x07"} {
			if strings.Contains(page, r) || strings.Contains(page, fmt.Sprintf("&#%d;", []rune(r)[0])) {
				t.Errorf("the page has %q", r)
			}
		}
	})
	t.Run("CLI-26 what cannot be read is told, and the exit status says so", func(t *testing.T) {
		t.Parallel()
		p, reference := newCustody(t)
		p.forgeBy("acme")
		manifest, err := forge(t.Context(), p.path("layout"), p.path("acme"), []string{"format=cose"})
		if err != nil {
			t.Fatal(err)
		}
		if err := flipEnvelope(p.path("layout"), manifest); err != nil {
			t.Fatal(err)
		}
		status, out, errs := p.run("inspect", "--output", "html", "--oci-layout", "--scope", "local/app", reference)
		if status != 1 || !strings.Contains(errs, "Error: at least one signature was skipped and not displayed") {
			t.Error(status, errs)
		}
		shows(t, readPage(t, out), "signatures found 1 that can be read, 1 that cannot", "Signatures that cannot be read", "does not match its descriptor")
	})
}

// TestCustodyInBrowser holds that a browser draws the page as it is meant, and finds
// nothing in it that it would run or load.
func TestCustodyInBrowser(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.forgeBy("acme", `note=<script>document.body.innerHTML=""</script><img src=http://127.0.0.1:1/>`)
	page := []byte(p.must("inspect", "--output", "html", "--oci-layout", "--scope", "local/app", p.path("layout")+"@"+p.digest))
	t.Run("CLI-22 GEN-11 drawn in full", func(t *testing.T) {
		picture := testservers.Screenshot(t, page, 1000, 1600)
		colours := map[color.Color]int{}
		for y := range 1600 {
			for x := range 1000 {
				colours[color.RGBAModel.Convert(picture.At(x, y))]++
			}
		}
		white, verdict, leaf := color.RGBA{0xff, 0xff, 0xff, 0xff}, color.RGBA{0x14, 0x70, 0x3a, 0xff}, color.RGBA{0x24, 0x50, 0x8a, 0xff}
		if colours[white] < 100_000 || colours[verdict] < 300 || colours[leaf] < 1000 || len(colours) < 30 {
			t.Errorf("%d colours, %d white, %d of the verdict, %d of the signer's bar", len(colours), colours[white], colours[verdict], colours[leaf])
		}
	})
	t.Run("CLI-22 GEN-11 nothing to run or to load", func(t *testing.T) {
		dom := testservers.DOM(t, page)
		for _, bad := range []string{"<script", "<img", "<link", "<iframe", "<object", "<a "} {
			if strings.Contains(dom, bad) {
				t.Errorf("the browser sees %s", bad)
			}
		}
		if !strings.Contains(dom, "&lt;script&gt;document.body") || !strings.Contains(dom, "✓ Verified") {
			t.Errorf("the browser sees %.500s", dom)
		}
	})
}

// TestTimeline holds that whatever times there are, all is drawn within the picture.
func TestTimeline(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	ancient, distant := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	for name, s := range map[string]*custodySignature{
		"one moment":  {SigningTime: now, Chain: []custodyCertificate{{From: now, To: now}}},
		"a day":       {SigningTime: now, Chain: []custodyCertificate{{From: now, To: now.Add(24 * time.Hour)}, {From: ancient, To: distant}}, Stamp: &custodyStamp{lower: now, upper: now.Add(time.Second)}},
		"all times":   {SigningTime: ancient, Expiry: &distant, Chain: []custodyCertificate{{From: distant, To: ancient}}},
		"upside down": {SigningTime: distant, Chain: []custodyCertificate{{From: distant, To: ancient}, {From: ancient, To: ancient}}},
	} {
		line := newTimeline(s, now)
		inside := func(what string, x float64) {
			if math.IsNaN(x) || x < timelineLeft-0.1 || x > timelineRight+3 {
				t.Errorf("%s: %s at %v", name, what, x)
			}
		}
		for _, bar := range line.Bars {
			inside("bar", bar.X)
			inside("its end", bar.X+bar.Width)
			if bar.Width < 3 {
				t.Errorf("%s: a bar of width %v", name, bar.Width)
			}
		}
		for _, mark := range line.Marks {
			inside(mark.Text, mark.X)
			if mark.TextY > line.Height {
				t.Errorf("%s: %s below the picture", name, mark.Text)
			}
		}
		if !slices.IsSortedFunc(line.Marks, func(a, b timelineMark) int { return a.at.Compare(b.at) }) || len(line.Ticks) == 0 {
			t.Errorf("%s: %+v", name, line)
		}
	}
}
