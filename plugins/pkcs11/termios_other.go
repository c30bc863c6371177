//go:build aix || linux || solaris || zos

package pkcs11

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
)
