package conformance

import "slices"

// Clauses returns every clause that the kit judges, in the order of reports.
func Clauses() []Clause { return slices.Clone(clauses) }
