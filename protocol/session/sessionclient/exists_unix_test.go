//go:build unix

package sessionclient_test

import "syscall"

// exists tells whether there is a process, be it a zombie.
func exists(pid int) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }
