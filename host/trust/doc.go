// Package trust reads what a verifier trusts: trust policies with their
// statements, scopes and verification levels, trusted identities, and the trust
// stores that hold certificates (trust-store-trust-policy.md).
package trust
