//go:build !unix

package wholefile

// openNonblock is not needed here: files are checked to be regular first.
const openNonblock = 0
