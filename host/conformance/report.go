package conformance

import (
	"time"

	"github.com/signet-project/signet/protocol"
)

// Verdict is what became of a clause.
type Verdict string

// The verdicts.
const (
	Passed Verdict = "passed"
	Failed Verdict = "failed"
	// NotApplicable: the plugin has nothing that the clause is about.
	NotApplicable Verdict = "not applicable"
	// NotRun: the clause may hold or not; what it takes to judge it was missing.
	NotRun Verdict = "not run"
)

// ReasonNoKey is the reason of results that take a key id.
const ReasonNoKey = "no key id was given"

// Result is the verdict on one clause. One that takes a key has failed when it failed
// with any, and has passed when it was judged with each key that it is applicable to.
type Result struct {
	Clause
	Verdict Verdict
	// Reason says why a clause is not applicable or was not run.
	Reason string
	// Keys are the ids of the keys that it was judged with; empty for a clause that
	// takes none.
	Keys []string
	// Failures has the first failure with each key; one for a clause that takes none.
	Failures []Failure
}

// Failure is one way in which a clause does not hold.
type Failure struct {
	// Key is the id of the key that shows it; empty where there is none.
	Key            string
	Expected, Seen string
}

// Key is a key that the plugin was judged with.
type Key struct {
	ID string
	// Spec is what describe-key answered; empty when it gave no sound answer or was
	// not asked.
	Spec protocol.KeySpec
}

// Report is what the kit found.
type Report struct {
	// Path is the executable.
	Path string
	// Metadata is what the plugin says of itself, as far as it could be read;
	// never nil.
	Metadata *protocol.Metadata
	// Keys are those of Options, in that order.
	Keys []Key
	// Results has one entry for each clause that the kit judges, always in the same order.
	Results []Result
	// Advice says what else to try, a sentence each: what the kit cannot do by itself
	// and no clause shows.
	Advice []string
	// Invocations counts how often the plugin was started.
	Invocations int
	// Started and Took are when the kit ran and for how long.
	Started time.Time
	Took    time.Duration
}

// Count returns how many clauses of a level got a verdict.
func (r *Report) Count(level Level, verdict Verdict) int {
	count := 0
	for _, result := range r.Results {
		if result.Level == level && result.Verdict == verdict {
			count++
		}
	}
	return count
}

// Conforms tells whether the plugin breaks no clause of level Must, as far as it was
// judged.
func (r *Report) Conforms() bool { return r.Count(Must, Failed) == 0 }

// Complete tells whether every clause of level Must that is applicable was judged.
func (r *Report) Complete() bool { return r.Count(Must, NotRun) == 0 }

// Failed returns the ids of the clauses that failed, of any level.
func (r *Report) Failed() []string {
	var ids []string
	for _, result := range r.Results {
		if result.Verdict == Failed {
			ids = append(ids, result.ID)
		}
	}
	return ids
}
