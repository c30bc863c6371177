package cli

import (
	"os"
	"os/signal"
	"strconv"

	"golang.org/x/sys/unix"
)

// As on a full disk, programs that find FILE_LIMIT in their environment can write so many
// bytes into a file.
func init() {
	limit, err := strconv.ParseUint(os.Getenv("FILE_LIMIT"), 10, 64)
	if err != nil {
		return
	}
	signal.Ignore(unix.SIGXFSZ) // the write fails all the same
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		panic(err)
	}
}
