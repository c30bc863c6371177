// Package host holds the flows of a Notary Project host: signing with a [Signer],
// verifying with a [Verifier], and the [Outcome] that tells what was checked.
//
// It is the one place where the rooms below it (envelope, trust, artifact, plugin,
// revocation, timestamp) meet: none of them knows another. Nothing here prints, reads
// the environment or chooses a directory: callers pass in what a flow may use.
package host
