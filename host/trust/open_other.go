//go:build !unix

package trust

// openNonblock is not needed here: files are checked to be regular first.
const openNonblock = 0
