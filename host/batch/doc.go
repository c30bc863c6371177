// Package batch works through long lists: it reads them, splits them into shards,
// runs what is to be done for each entry in parallel, and keeps results in a
// journal from which a later run resumes. It does not know what the entries mean.
package batch
