//go:build unix

package wholefile

import "syscall"

// OpenNonblock is a flag for opening what may be a pipe: it keeps from waiting for a
// writer.
const OpenNonblock = syscall.O_NONBLOCK
