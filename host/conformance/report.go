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

// Result is the verdict on one clause.
type Result struct {
	Clause
	Verdict Verdict
	// Reason says why a clause is not applicable or was not run.
	Reason string
	// Expected and Seen tell of the first failure.
	Expected, Seen string
}

// Report is what the kit found.
type Report struct {
	// Path is the executable.
	Path string
	// Metadata is what the plugin says of itself, as far as it could be read;
	// never nil.
	Metadata *protocol.Metadata
	// Results has one entry for each of Clauses, in that order.
	Results []Result
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

// Conforms tells whether the plugin breaks no clause of level Must.
func (r *Report) Conforms() bool { return r.Count(Must, Failed) == 0 }

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
