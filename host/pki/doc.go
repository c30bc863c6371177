// Package pki holds the certificate, chain, key and algorithm rules of the
// Notary Project: what a signing or time-stamping chain must look like, which
// algorithm a key selects, and how keys and certificates are read from files.
// It decides nothing about trust, and it never looks at the clock.
package pki
