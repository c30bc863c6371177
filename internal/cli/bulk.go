package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host"
	"github.com/signet-project/signet/host/batch"
)

// maxWorkers bounds --concurrency.
const maxWorkers = 256

// bulkFlags are the flags of runs over many artifacts.
type bulkFlags struct {
	fromFile  string
	recursive bool
	workers   int
	shard     string
	resume    string
}

// bulkNames are the flags that make a run one over many artifacts.
var bulkNames = []string{"from-file", "recursive", "concurrency", "shard", "resume"}

func (a *app) bulkFlags(cmd *cobra.Command, verb string, workers int) *bulkFlags {
	f := &bulkFlags{}
	flags := cmd.Flags()
	flags.StringVar(&f.fromFile, "from-file", "", verb+" the artifacts listed in a file, one reference a line; \"-\" is standard input. Blank lines and lines that begin with # are passed over")
	flags.BoolVar(&f.recursive, "recursive", false, verb+" an index and every manifest below it")
	flags.IntVar(&f.workers, "concurrency", workers, fmt.Sprintf("how many artifacts to %s at a time, at most %d", verb, maxWorkers))
	flags.StringVar(&f.shard, "shard", "", verb+" one part of the list only: {i}/{n} is part i of n, counted from 0; /{n} takes i from $"+batch.JobIndexVariable)
	for _, flag := range []string{"concurrency", "shard"} {
		a.complete(cmd, flag, func() []string { return nil })
	}
	flags.StringVar(&f.resume, "resume", "", "append a JSON line for each artifact to this file, and leave out what it already has a final result for")
	return f
}

// bulkHelp explains runs over many artifacts.
func bulkHelp(verb, done string) string {
	return `Several references, --from-file, --recursive, --shard, --resume, --concurrency or
--output jsonl make a run over many artifacts. One that fails does not keep the
others from being ` + done + `; the exit status is 1 if any failed. With --output jsonl
each artifact has one JSON line (spec/schemas/result-line.json), written when it is
done. Files made by --resume merge by concatenation; to ` + verb + ` anew, give another file.
Such a file is believed: keep it where only those can write who may decide what counts.`
}

// wanted tells whether the command line asks for a run over many artifacts.
func (f *bulkFlags) wanted(cmd *cobra.Command, args []string, output string) bool {
	return len(args) != 1 || output == "jsonl" || slices.ContainsFunc(bulkNames, cmd.Flags().Changed)
}

// bulkJob is what a run over many artifacts does.
type bulkJob struct {
	// verb and done name it: "verify" and "Verified".
	verb, done string
	references []string
	output     string
	// basis is what results rest on, see [batch.Verdict].
	basis string
	// unchanged tells whether basis still is what results rest on; nil means it is.
	unchanged func() bool
	opener    *opener
	start     func(context.Context, *host.Batch, func(*host.BatchResult) error) error
	// view renders a result that this run came to.
	view func(*host.BatchResult) *bulkView
}

// prepare checks the flags of a run over many artifacts and collects the references
// of arguments and file that belong to the shard.
func (a *app) prepare(ctx context.Context, f *bulkFlags, output string, arguments []string) ([]string, error) {
	if output == "json" {
		return nil, errors.New("--output json shows one artifact: use --output jsonl, which has a line for each")
	}
	if f.workers < 1 || f.workers > maxWorkers {
		return nil, fmt.Errorf("--concurrency %d is not a number from 1 to %d", f.workers, maxWorkers)
	}
	shard, err := batch.ParseShard(f.shard, a.getenv)
	if err != nil {
		return nil, err
	}
	list := batch.NewList(shard)
	for _, argument := range arguments {
		if err := list.Add(argument); err != nil {
			return nil, err
		}
	}
	if f.fromFile != "" {
		if err := a.readList(ctx, list, f.fromFile); err != nil {
			return nil, err
		}
	}
	if list.Read() == 0 {
		return nil, fmt.Errorf("there is no reference in %q", f.fromFile)
	}
	return list.Entries(), nil
}

// runBulk works through the artifacts of a job and reports on them.
func (a *app) runBulk(ctx context.Context, f *bulkFlags, job *bulkJob) error {
	if !job.opener.layout {
		if _, err := job.opener.client(); err != nil {
			return err
		}
	}
	a.warnTags(job)
	var err error
	r := &bulkReport{app: a, job: job, total: len(job.references), waiting: map[int]bulkText{}}
	run := &host.Batch{References: job.references, Open: job.opener.place, Recursive: f.recursive, Workers: f.workers, Unchanged: job.unchanged, Now: a.Now}
	if f.resume != "" {
		if r.journal, run.Settled, err = a.openJournal(f.resume, job.basis); err != nil {
			return err
		}
	}
	r.progress = a.startProgress(job.verb, r.total)
	err = job.start(ctx, run, r.add)
	r.progress.stop()
	return r.finish(ctx, err)
}

// readList adds what a file or standard input lists.
func (a *app) readList(ctx context.Context, list *batch.List, path string) error {
	name, input := path, a.Stdin
	if path == "-" {
		name = "standard input"
	} else {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		input = file
	}
	if err := list.ReadFrom(ctx, input); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// warnTags says once what [app.warnTag] says of each tag.
func (a *app) warnTags(job *bulkJob) {
	for _, reference := range job.references {
		if job.opener.isTag(reference) {
			a.warnf("Always %s artifacts using digests(@sha256:...) rather than tags, such as %s: tags are mutable and can point to different artifacts than the ones that are %s here.", job.verb, reference, strings.ToLower(job.done))
			return
		}
	}
}

// openJournal opens the file of --resume.
func (a *app) openJournal(path, basis string) (*batch.Journal, map[string]batch.Verdict, error) {
	journal, settled, err := batch.OpenJournal(path, basis, a.Now)
	if err != nil {
		return nil, nil, err
	}
	if stdout := fileOf(a.Stdout); stdout != nil && journal.Same(stdout) {
		return nil, nil, errors.Join(fmt.Errorf("standard output goes to %s, too: --resume writes it by itself", path), journal.Close())
	}
	return journal, settled, nil
}

// bulkReport collects and shows results as they come. Its methods are called one
// at a time.
type bulkReport struct {
	app      *app
	job      *bulkJob
	journal  *batch.Journal // nil without --resume
	progress *progress      // nil without a terminal
	total    int
	// done and the rest count artifacts.
	done, settled, skipped int
	failures               []bulkFailure
	// waiting are texts whose turn has not come, by number; next is the number whose
	// turn it is.
	waiting map[int]bulkText
	next    int
}

// bulkFailure is what the summary says of an artifact that failed.
type bulkFailure struct {
	number int
	lines  []string
}

// add takes one result.
func (r *bulkReport) add(result *host.BatchResult) error {
	r.done++
	r.total = max(r.total, result.Number+1)
	var view *bulkView
	if result.Settled != nil {
		r.settled++
		view = viewSettled(result)
	} else {
		view = r.job.view(result)
		view.line.Operation, view.line.Basis = r.job.verb, r.job.basis
		if err := r.write(view); err != nil {
			return err
		}
	}
	switch view.line.Result {
	case "failed":
		r.failures = append(r.failures, view.failure())
	case "skipped":
		r.skipped++
	}
	r.progress.show(r.done, r.total, len(r.failures))
	return r.inOrder(view)
}

// write puts a result's line where lines go.
func (r *bulkReport) write(view *bulkView) error {
	if r.journal == nil && r.job.output != "jsonl" {
		return nil
	}
	line, err := view.line.encode()
	if err != nil {
		return err
	}
	if r.journal != nil {
		if err := r.journal.Append(line); err != nil {
			return err
		}
	}
	if r.job.output == "jsonl" {
		_, err = r.app.Stdout.Write(append(printableJSON(line), '\n'))
	}
	return err
}

// inOrder shows the texts of results in the order of the list.
func (r *bulkReport) inOrder(view *bulkView) error {
	if r.job.output == "jsonl" {
		return nil
	}
	r.waiting[view.number] = view.text
	for {
		text, ready := r.waiting[r.next]
		if !ready {
			return nil
		}
		delete(r.waiting, r.next)
		r.next++
		if err := r.print(text); err != nil {
			return err
		}
	}
}

func (r *bulkReport) print(text bulkText) error {
	for _, warning := range text.warnings {
		r.app.warnf("%s", warning)
	}
	_, err := io.WriteString(r.app.Stdout, printableText(text.stdout))
	return err
}

// finish closes what is open, sums up, and returns the error to end with; err is
// what ended the run early.
func (r *bulkReport) finish(ctx context.Context, err error) error {
	if r.journal != nil {
		if closeErr := r.journal.Close(); err == nil {
			err = closeErr
		}
	}
	if r.job.output != "jsonl" {
		r.summarize()
	}
	left := r.total - r.done
	switch {
	case left > 0 && ctx.Err() != nil:
		return fmt.Errorf("%w before %s of %s artifacts were %s", errInterrupted, number(left), number(r.total), strings.ToLower(r.job.done))
	case err != nil && ctx.Err() == nil:
		return err
	case len(r.failures) > 0:
		return fmt.Errorf("%s of %s artifacts could not be %s", number(len(r.failures)), number(r.total), strings.ToLower(r.job.done))
	}
	return nil
}

// summarize says how many artifacts came to what, and lists those that failed.
func (r *bulkReport) summarize() {
	for _, number := range slices.Sorted(maps.Keys(r.waiting)) {
		_ = r.print(r.waiting[number]) // standard output is gone: the run has ended for that
	}
	good := r.done - r.skipped - len(r.failures)
	text := fmt.Sprintf("%s %s of %s artifacts", r.job.done, number(good), number(r.total))
	for _, part := range []struct {
		count int
		what  string
	}{
		{r.skipped, "skipped by the trust policy"}, {len(r.failures), "failed"},
		{r.total - r.done, "not examined"}, {r.settled, "known from an earlier run"},
	} {
		if part.count > 0 {
			text += fmt.Sprintf(", %s %s", number(part.count), part.what)
		}
	}
	r.app.printf("%s\n", text)
	slices.SortFunc(r.failures, func(a, b bulkFailure) int { return cmp.Compare(a.number, b.number) })
	for _, failure := range r.failures {
		for _, line := range failure.lines {
			r.app.printf("  %s\n", line)
		}
	}
}

// number writes a count with commas: 1,000.
func number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
