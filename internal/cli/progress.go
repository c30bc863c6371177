package cli

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows on a terminal how far a run over many artifacts is. A nil one
// shows nothing.
type progress struct {
	container *mpb.Progress
	bar       *mpb.Bar
	failed    atomic.Int64
	restore   func()
}

// startProgress shows progress on standard error if that is a terminal with room for
// it and no debug log goes there. Until stop, what the app writes to the terminal stands
// above the bar.
func (a *app) startProgress(verb string, total int) *progress {
	stderr, ok := a.Stderr.(*lineWriter)
	if !ok {
		return nil
	}
	terminal := asTerminal(stderr.w)
	if terminal == nil || a.debug || a.getenv("TERM") == "dumb" {
		return nil
	}
	if width, _, err := term.GetSize(int(terminal.Fd())); err != nil || width < 40 {
		return nil
	}
	p := &progress{container: mpb.New(mpb.WithOutput(terminal))}
	// With a total of its own the bar would go when it is reached, though members of
	// an index may follow.
	p.bar = p.container.New(0, mpb.BarStyle().Lbound("[").Filler("#").Tip("#").Padding("-").Rbound("]"),
		mpb.BarWidth(40), mpb.BarFillerTrim(),
		mpb.PrependDecorators(decor.Name(verb+" "), decor.CountersNoUnit("%d / %d ")),
		mpb.AppendDecorators(decor.Any(p.rest)),
	)
	p.bar.SetTotal(int64(total), false)
	p.restore = stderr.redirect(p.container)
	if asTerminal(a.Stdout) != nil {
		stdout := a.Stdout
		a.Stdout = p.container
		redirected := p.restore
		p.restore = func() { a.Stdout = stdout; redirected() }
	}
	return p
}

// rest is what stands behind the bar.
func (p *progress) rest(decor.Statistics) string {
	if failed := p.failed.Load(); failed > 0 {
		return fmt.Sprintf(" %s failed", number(int(failed)))
	}
	return ""
}

// show tells how many artifacts are done, of how many.
func (p *progress) show(done, total, failed int) {
	if p == nil {
		return
	}
	p.failed.Store(int64(failed))
	p.bar.SetTotal(int64(total), false)
	p.bar.SetCurrent(int64(done))
}

// stop removes the bar.
func (p *progress) stop() {
	if p == nil {
		return
	}
	p.bar.Abort(true)
	p.container.Wait()
	p.restore()
}

// asTerminal is w if that is a terminal, else nil.
func asTerminal(w io.Writer) *os.File {
	if file := fileOf(w); file != nil && term.IsTerminal(int(file.Fd())) {
		return file
	}
	return nil
}
