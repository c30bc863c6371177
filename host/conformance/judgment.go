package conformance

import (
	"fmt"
	"slices"
	"strings"
)

// judgment is what became of a clause with one key, or without any.
type judgment struct {
	verdict Verdict
	reason  string
	failure Failure
	// spoilt tells that a call which it takes went wrong in another respect: what
	// other calls show cannot make it pass.
	spoilt bool
}

// expect notes whether a clause holds; one that failed once has failed.
func (k *kit) expect(id string, holds bool, expected, seen string) bool {
	return k.expectFor("", id, holds, expected, seen)
}

// expectFor is expect for a clause that takes a key.
func (k *kit) expectFor(key, id string, holds bool, expected, seen string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	j := k.judgment(id, key)
	switch {
	case j.verdict == Failed:
	case !holds:
		*j = judgment{verdict: Failed, failure: Failure{key, expected, excerpt(seen)}}
	case !j.spoilt:
		*j = judgment{verdict: Passed}
	}
	return holds
}

// leave notes why clauses that have no verdict so far are left without; ids may
// be prefixes that end with a dot.
func (k *kit) leave(verdict Verdict, reason string, ids ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range matching(ids) {
		if len(k.judged[id]) == 0 {
			*k.judgment(id, "") = judgment{verdict: verdict, reason: excerpt(reason)}
		}
	}
}

// leaveFor is leave for clauses that take a key.
func (k *kit) leaveFor(key string, verdict Verdict, reason string, ids ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range matching(ids) {
		if k.judged[id][""] == nil && k.judged[id][key] == nil {
			*k.judgment(id, key) = judgment{verdict: verdict, reason: excerpt(reason)}
		}
	}
}

// spoil notes that clauses cannot be judged by a reply, because it is neither an
// answer nor a failure: a clause about calls says so. They pass no more.
func (k *kit) spoil(key string, r *reply, ids ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range matching(ids) {
		if j := k.judgment(id, key); j.verdict != Failed {
			*j = judgment{verdict: NotRun, reason: "a call that it takes breaks " + r.breaks, spoilt: true}
		}
	}
}

// passed tells whether a clause that takes no key holds so far.
func (k *kit) passed(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	j := k.judged[id][""]
	return j != nil && j.verdict == Passed
}

// judgment finds or makes that of a clause and a key; the caller holds the lock.
func (k *kit) judgment(id, key string) *judgment {
	if !slices.ContainsFunc(clauses, func(c Clause) bool { return c.ID == id }) {
		panic("conformance: no clause " + id)
	}
	if k.judged[id] == nil {
		k.judged[id] = map[string]*judgment{}
	}
	if k.judged[id][key] == nil {
		k.judged[id][key] = &judgment{}
	}
	return k.judged[id][key]
}

// matching lists the clauses that ids name, which may be prefixes that end with a dot.
func matching(ids []string) []string {
	var found []string
	for _, c := range clauses {
		if slices.ContainsFunc(ids, func(id string) bool {
			return c.ID == id || strings.HasSuffix(id, ".") && strings.HasPrefix(c.ID, id)
		}) {
			found = append(found, c.ID)
		}
	}
	return found
}

// allGroups lists the prefixes of all clauses.
func allGroups() []string {
	var groups []string
	for _, c := range clauses {
		group, _, _ := strings.Cut(c.ID, ".")
		groups = append(groups, group+".")
	}
	return groups
}

// results lists the verdicts in the order of clauses.
func (k *kit) results() []Result {
	k.leave(NotRun, "nothing came up to judge it by", allGroups()...)
	results := make([]Result, len(clauses))
	for i, c := range clauses {
		results[i] = k.result(c)
	}
	return results
}

// result puts the judgments on a clause together: of those with several keys the
// gravest counts.
func (k *kit) result(c Clause) Result {
	gravity := []Verdict{"", NotApplicable, Passed, NotRun, Failed}
	result := Result{Clause: c}
	for _, key := range slices.Concat([]string{""}, k.opts.Keys) {
		j := k.judged[c.ID][key]
		if j == nil {
			continue
		}
		if slices.Index(gravity, j.verdict) > slices.Index(gravity, result.Verdict) {
			result.Verdict, result.Reason = j.verdict, j.reason
			if key != "" && j.reason != "" && len(k.opts.Keys) > 1 {
				result.Reason = fmt.Sprintf("key %q: %s", key, j.reason)
			}
		}
		if key != "" && (j.verdict == Passed || j.verdict == Failed) {
			result.Keys = append(result.Keys, key)
		}
		if j.verdict == Failed {
			result.Failures = append(result.Failures, j.failure)
		}
	}
	return result
}
