// Package arrows holds the test that keeps the imports between the project's
// packages, and what gets linked into its binaries, as ARCHITECTURE.md draws them.
package arrows
