// Package revocation finds out whether the certificates of a chain have been
// revoked: by OCSP (RFC 6960) first, by certificate revocation lists (RFC 5280)
// where OCSP gives no answer, with caches that forget in time.
//
// The rules are those of the Notary Project's trust-store-trust-policy.md,
// "Certificate Revocation Evaluation". Nothing here decides what a revoked or
// unknown certificate means for a signature; that is the trust policy's business.
package revocation
