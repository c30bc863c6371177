//go:build !unix

package wholefile

// OpenNonblock is a flag for opening what may be a pipe; here nothing is.
const OpenNonblock = 0
