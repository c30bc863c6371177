package cli

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// timeline is a drawing of when certificates are valid and when a signature was
// made, in the units of an SVG 960 wide. It spans the life of the signing
// certificate and all that happened; what lasts longer is cut at its edges.
type timeline struct {
	Left, Right    float64
	Height, Bottom int
	Ticks          []timelineTick
	Bars           []timelineBar
	Marks          []timelineMark

	start time.Time
	span  float64 // seconds
}

type timelineTick struct {
	X    float64
	Text string
}

// timelineBar is one span of time. Before and After tell that it goes on beyond
// the drawing.
type timelineBar struct {
	Label, Title, Class string
	X, Width            float64
	Y, TextY            int
	Before, After       bool
}

// timelineMark is one moment.
type timelineMark struct {
	Class, Text, Align string
	X                  float64
	TextY              int

	at time.Time
}

const (
	timelineLeft, timelineRight = 250.0, 940.0
	timelineRow                 = 20
	timelineLabel               = 38 // runes
)

// newTimeline draws the times of a signature.
func newTimeline(s *custodySignature, now time.Time) *timeline {
	t := &timeline{Left: timelineLeft, Right: timelineRight}
	marks := []timelineMark{{Class: "signed", Text: "signed", at: s.SigningTime}, {Class: "now", Text: "now", at: now}}
	if s.Expiry != nil {
		marks = append(marks, timelineMark{Class: "expiry", Text: "expires", at: *s.Expiry})
	}
	first, last := s.Chain[0].From, s.Chain[0].To
	for _, mark := range marks {
		first, last = earlier(first, mark.at), later(last, mark.at)
	}
	if s.Stamp != nil && s.Stamp.Error == "" {
		first, last = earlier(first, s.Stamp.lower), later(last, s.Stamp.upper)
	}
	// Seconds as a float: a Duration ends at 292 years, certificates need not.
	t.start, t.span = first, max(float64(last.Unix()-first.Unix()), 1)
	margin := t.span * 0.04
	t.start = time.Unix(first.Unix()-int64(margin), 0)
	t.span += 2 * margin
	t.ticks()
	if s.Stamp != nil && s.Stamp.Error == "" {
		t.bar("timestamp", "timestamp: "+s.Stamp.Lower+" to "+s.Stamp.Upper, "stamp", s.Stamp.lower, s.Stamp.upper)
	}
	for i, cert := range s.Chain {
		class := "bar"
		if i == 0 {
			class = "leaf"
		}
		t.bar(cert.IssuedTo, cert.IssuedTo+": "+cert.From.UTC().Format(time.DateTime)+" to "+cert.To.UTC().Format(time.DateTime)+" UTC", class, cert.From, cert.To)
	}
	t.Bottom = 26 + timelineRow*len(t.Bars)
	t.marks(marks)
	return t
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// x is where a time is drawn; it may lie outside.
func (t *timeline) x(at time.Time) float64 {
	share := float64(at.Unix()-t.start.Unix()) / t.span
	return timelineLeft + share*(timelineRight-timelineLeft)
}

func (t *timeline) bar(label, title, class string, from, to time.Time) {
	y := 24 + timelineRow*len(t.Bars)
	bar := timelineBar{Label: shorten(label, timelineLabel), Title: title, Class: class, Y: y, TextY: y + 10}
	left, right := t.x(from), t.x(to)
	bar.Before, bar.After = left < timelineLeft, right > timelineRight
	left, right = min(max(left, timelineLeft), timelineRight), min(max(right, timelineLeft), timelineRight)
	bar.X, bar.Width = round(left), round(max(right-left, 3))
	t.Bars = append(t.Bars, bar)
}

// marks puts the names of moments into rows, so that none covers another.
func (t *timeline) marks(marks []timelineMark) {
	slices.SortFunc(marks, func(a, b timelineMark) int { return a.at.Compare(b.at) })
	for i := range marks {
		marks[i].X = round(t.x(marks[i].at))
		marks[i].TextY = t.Bottom + 12 + 13*i
		marks[i].Align = "middle"
		switch {
		case marks[i].X > timelineRight-40:
			marks[i].Align = "end"
		case marks[i].X < timelineLeft+40:
			marks[i].Align = "start"
		}
		marks[i].Text += " " + marks[i].at.UTC().Format("2006-01-02 15:04")
	}
	t.Marks = marks
	t.Height = t.Bottom + 20 + 13*len(marks)
}

// ticks divides the span by dates, or by times of the day where it is short.
func (t *timeline) ticks() {
	layout := time.DateOnly
	if t.span < 3*24*3600 {
		layout = "01-02 15:04"
	}
	const count = 5
	for i := range count {
		share := (float64(i) + 0.5) / count
		at := time.Unix(t.start.Unix()+int64(share*t.span), 0)
		t.Ticks = append(t.Ticks, timelineTick{round(t.x(at)), at.UTC().Format(layout)})
	}
}

// shorten cuts a text, at a comma if there is one in time.
func shorten(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	cut := string([]rune(text)[:most-1])
	if comma := strings.LastIndexByte(cut, ','); comma > 0 {
		cut = cut[:comma+1]
	}
	return cut + "…"
}

func round(x float64) float64 { return cmp.Or(float64(int64(x*10))/10, 0) }
