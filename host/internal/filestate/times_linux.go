package filestate

import "syscall"

func times(stat *syscall.Stat_t) (modified, changed syscall.Timespec) { return stat.Mtim, stat.Ctim }
