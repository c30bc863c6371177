package cli

import (
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/net/html"
)

//go:embed custody.css
var custodyCSS string

// write writes the page. It needs no other file, and nothing on it runs or loads.
func (p *custodyPage) write(w io.Writer) error {
	page := &html.Node{Type: html.DocumentNode}
	page.AppendChild(&html.Node{Type: html.DoctypeNode, Data: "html"})
	page.AppendChild(&html.Node{Type: html.TextNode, Data: "\n"})
	el("html", attr("lang", "en"), p.head(), p.body())(page)
	return html.Render(w, page)
}

func (p *custodyPage) head() part {
	style := func(parent *html.Node) {
		parent.AppendChild(&html.Node{Type: html.TextNode, Data: "\n" + custodyCSS})
	}
	meta := func(name, content string) part { return el("meta", attr("name", name), attr("content", content)) }
	return el("head",
		el("meta", attr("charset", "utf-8")),
		el("meta", attr("http-equiv", "Content-Security-Policy"), attr("content", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")),
		meta("viewport", "width=device-width, initial-scale=1"),
		meta("referrer", "no-referrer"),
		meta("color-scheme", "light dark"),
		el("title", text("Chain of custody: "+p.Reference)),
		el("style", style),
	)
}

func (p *custodyPage) body() part {
	number := 0
	return el("body",
		p.header(),
		el("section", p.verdictCard()),
		each(p.Signatures, func(s *custodySignature) part {
			number++
			title := fmt.Sprintf("Signature %d", number)
			if len(p.Signatures) > 1 {
				title += fmt.Sprintf(" of %d", len(p.Signatures))
			}
			return el("section", el("h2", text(title)), p.signatureCard(s))
		}),
		only(len(p.Unread) > 0, el("section",
			el("h2", text("Signatures that cannot be read")),
			table([]string{"digest", "reason"}, each(p.Unread, func(u unreadSignature) part {
				return el("tr", el("td", class("mono wide"), text(u.Digest)), el("td", foreign(u.Reason)))
			})),
		)),
		el("footer",
			text(fmt.Sprintf("Written %s by %s %s. Times are UTC.", moment(p.Now), p.Program, p.Version)),
			only(p.Verdict != nil, text(" The verdict is of that time and of that policy.")),
			text(" This page needs no network."),
		),
	)
}

func (p *custodyPage) header() part {
	found := strconv.Itoa(len(p.Signatures))
	if len(p.Unread) > 0 {
		found += fmt.Sprintf(" that can be read, %d that cannot", len(p.Unread))
	}
	if p.LimitExceeded {
		found += " (there are more: only these were looked at)"
	}
	return el("header",
		el("h1", text("Chain of custody")),
		el("p", class("reference mono"), foreign(p.Reference)),
		el("dl",
			fact(text("media type"), foreign(p.Artifact.MediaType)),
			fact(text("digest"), el("span", class("mono"), text(p.Artifact.Digest.String()))),
			fact(text("size"), text(fmt.Sprintf("%d bytes", p.Artifact.Size))),
			fact(text("signatures found"), text(found)),
		),
	)
}

// fact is a term and what there is to say of it.
func fact(term part, said ...part) part { return all(el("dt", term), el("dd", said...)) }

// table is one with headings.
func table(headings []string, rows part) part {
	return el("table", el("tr", each(headings, func(s string) part { return el("th", text(s)) })), rows)
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// look is the class and the sign of a result.
func look(result string) (name, sign string) {
	switch result {
	case "verified", "passed":
		return "good", "✓"
	case "failed":
		return "bad", "✗"
	}
	return "care", "–"
}

func failure(text string) part { return only(text != "", el("p", class("bad"), foreign(text))) }

func (p *custodyPage) verdictCard() part {
	v := p.Verdict
	if v == nil {
		return el("div", class("card verdict"), el("p", class("word"), text("No verdict")), el("p", foreign(p.NoVerdict)))
	}
	words := map[string]string{"verified": "Verified", "failed": "Not verified", "skipped": "Verification is skipped"}
	name, sign := look(v.Result)
	return el("div", class("card verdict "+v.Result),
		el("p", class("word "+name), text(sign+" "+words[v.Result])),
		el("p", text("by statement "), el("b", foreign(v.Statement.Name)), text(fmt.Sprintf(" (level %s) of %s", v.Statement.Level, p.Policy))),
		failure(v.Error),
	)
}

func (p *custodyPage) signatureCard(s *custodySignature) part {
	return el("div", class("card signature"),
		el("p", class("mono"), text(s.Digest)),
		p.result(s.Outcome),
		s.facts(),
		el("h3", text("Time line")),
		el("div", class("time"), s.Timeline.drawing()),
		only(len(s.Metadata) > 0,
			el("h3", text("What the signer said of the artifact")),
			table([]string{"key", "value"}, each(s.Metadata, func(pair [2]string) part {
				return el("tr", el("td", foreign(pair[0])), el("td", foreign(pair[1])))
			})),
		),
		el("h3", text("Certificates, from the signer to the root")),
		chainList(s.Chain),
		el("h3", text("Timestamp")),
		s.stamp(),
		s.Outcome.details(),
	)
}

// result is what the policy found of a signature.
func (p *custodyPage) result(outcome *signatureOutcomeView) part {
	switch {
	case outcome == nil && p.Verdict == nil:
		return nil
	case outcome == nil && p.Verdict.Result == "skipped":
		return el("p", class("care"), text("– not examined by the policy: it skips verification"))
	case outcome == nil:
		return el("p", class("care"), text("– not examined by the policy: the signatures before it decided"))
	}
	words := "does not count"
	if outcome.Result == "passed" {
		words = "passes the policy"
	}
	if outcome.Result == "passed" && outcome.Counted {
		words += " and counts"
	}
	name, sign := look(outcome.Result)
	return all(el("p", class("word "+name), text(sign+" "+words)), failure(outcome.Error))
}

func (s *custodySignature) facts() part {
	var identity, expiry, agent part
	if s.Outcome != nil && s.Outcome.Identity != "" {
		identity = fact(text("trusted identity"), foreign(s.Outcome.Identity))
	}
	if s.Expiry != nil {
		expiry = fact(text("signature expires"), text(moment(*s.Expiry)))
	}
	if s.Agent != "" {
		agent = fact(all(text("signing agent "), el("span", class("dim"), text("(not signed)"))), foreign(s.Agent))
	}
	return el("dl",
		fact(text("signed by"), foreign(s.Chain[0].IssuedTo)),
		identity,
		fact(text("signing time"), text(moment(s.SigningTime)+" "), el("span", class("dim"), text("("+s.TimeSource+")"))),
		expiry,
		fact(text("algorithm"), text(s.Algorithm)),
		fact(text("envelope"), text(s.EnvelopeType)),
		fact(text("signing scheme"), text(s.Scheme)),
		agent,
		each(s.Extended, func(pair [2]string) part { return fact(foreign(pair[0]), foreign(pair[1])) }),
	)
}

func chainList(chain []custodyCertificate) part {
	return el("ol", class("chain"), each(chain, func(c custodyCertificate) part {
		dim := func(words string) part { return el("span", class("dim"), text(words)) }
		return el("li",
			only(c.Anchor, class("anchor")),
			el("b", foreign(c.IssuedTo)), only(c.Anchor, text(" "), el("span", class("badge good"), text("trusted certificate"))),
			el("br"), dim("issued by"), text(" "), foreign(c.IssuedBy),
			el("br"), dim("valid"), text(" "+moment(c.From)+" "), dim("to"), text(" "+moment(c.To)), only(c.State != "", text(" "), el("span", class("badge care"), text(c.State))),
			el("br"), dim("SHA-256"), text(" "), el("code", text(c.Fingerprint)),
		)
	}))
}

func (s *custodySignature) stamp() part {
	switch {
	case s.Stamp == nil:
		return el("p", class("dim"), text("There is none: only the signer says when it was signed."))
	case s.Stamp.Error != "":
		return failure(s.Stamp.Error)
	}
	return all(
		el("p",
			text("The signature was there between "), el("b", text(s.Stamp.Lower)), text(" and "), el("b", text(s.Stamp.Upper)), text(", says the timestamp authority below."),
			only(!s.Proven, text(" "), el("span", class("care"), text("Nobody has verified that here."))),
		),
		chainList(s.StampChain),
	)
}

// details is what verification looked at, if it did.
func (v *signatureOutcomeView) details() part {
	if v == nil {
		return nil
	}
	var stampRevocation []revocationView
	if v.Timestamp != nil {
		stampRevocation = v.Timestamp.Revocation
	}
	return all(
		el("h3", text("Checks")),
		table([]string{"check", "result", "the policy", ""}, each(v.Checks, checkView.row)),
		revocationTable("Revocation", v.Revocation),
		revocationTable("Revocation of the timestamp authority", stampRevocation),
		only(len(v.Plugins) > 0, el("h3", text("Plugins called")), el("ul", each(v.Plugins, func(plugin pluginUseView) part {
			why := ", named by the signature"
			if plugin.Required {
				why = ", required by the trust policy"
			}
			return el("li", foreign(plugin.Name+" "+plugin.Version), text(why))
		}))),
	)
}

func (c checkView) row() part {
	name, sign := look(c.Status)
	action := "skips it"
	switch c.Action {
	case "enforce":
		action = "enforces it"
	case "log":
		action = "logs it"
	}
	detail := c.Detail
	if detail != "" && c.Error != "" {
		detail += ": "
	}
	return el("tr",
		el("td", text(c.Check)),
		el("td", class("state "+name), text(sign+" "+c.Status)),
		el("td", text(action)),
		el("td", foreign(detail+c.Error)),
	)
}

func revocationTable(title string, views []revocationView) part {
	return only(len(views) > 0, el("h3", text(title)), table([]string{"certificate", "result", "by", "as of"}, each(views, revocationView.row)))
}

func (v revocationView) row() part {
	result, asOf := v.Result, ""
	if v.RevokedAt != nil {
		result += " on " + moment(*v.RevokedAt)
	}
	if v.Reason != "" {
		result += " (" + v.Reason + ")"
	}
	if v.ThisUpdate != nil {
		asOf = moment(*v.ThisUpdate)
	}
	return el("tr",
		el("td", class("wide"), foreign(v.Subject)),
		el("td", text(result)),
		el("td", text(v.Method+" "), foreign(v.Server), each(v.Failures, func(s string) part {
			return all(el("br"), el("span", class("bad"), foreign(s)))
		})),
		el("td", text(asOf)),
	)
}

// drawing is the time line as SVG.
func (t *timeline) drawing() part {
	upright := func(name string, x float64, parts ...part) part {
		return el("line", class(name), attr("x1", x), attr("y1", 18), attr("x2", x), attr("y2", t.Bottom), all(parts...))
	}
	label := func(x float64, y int, parts ...part) part {
		return el("text", attr("x", x), attr("y", y), all(parts...))
	}
	title := func(words string) part { return el("title", text(words)) }
	return el("svg", attr("viewBox", fmt.Sprintf("0 0 960 %d", t.Height)), attr("role", "img"), attr("aria-label", "When certificates were valid, and when it was signed"),
		each(t.Ticks, func(tick timelineTick) part {
			return all(upright("grid", tick.X), label(tick.X, 12, class("tick"), attr("text-anchor", "middle"), text(tick.Text)))
		}),
		each(t.Bars, func(bar timelineBar) part {
			return all(
				label(0, bar.TextY, text(bar.Label), title(bar.Title)),
				el("rect", class(bar.Class), attr("x", bar.X), attr("y", bar.Y), attr("width", bar.Width), attr("height", 12), attr("rx", 3), title(bar.Title)),
				only(bar.Before, label(t.Left, bar.TextY, attr("text-anchor", "end"), text("◂"))),
				only(bar.After, label(t.Right, bar.TextY, text("▸"))),
			)
		}),
		each(t.Marks, func(mark timelineMark) part {
			return all(upright(mark.Class, mark.X, title(mark.Text)), label(mark.X, mark.TextY, attr("text-anchor", mark.Align), text(mark.Text)))
		}),
	)
}
