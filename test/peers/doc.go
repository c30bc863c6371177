// Package peers holds the tests that need software of others: notation-go and
// notation-core-go, which signet has to understand and be understood by, and
// registries with and without the Referrers API. Their dependencies stay in this
// module.
package peers
