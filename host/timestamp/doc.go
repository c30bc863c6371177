// Package timestamp obtains, reads and verifies RFC 3161 countersignatures.
//
// A token proves that a signature existed before a moment, by the word of an
// authority whose root the caller trusts. The package checks the token itself,
// the authority's certificate chain and the times within both; whether a
// certificate of that chain has been revoked is for the caller to find out, from
// [Token].Chain or through [Authority].Revocation.
package timestamp
