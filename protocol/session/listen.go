package session

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"github.com/signet-project/signet/protocol/internal/sessionwire"
)

// listen listens where the host can find it: on a socket in the directory that the host
// names, or, on Windows, on a port of the range that it names.
func listen(getenv func(string) string) (net.Listener, error) {
	if runtime.GOOS == "windows" {
		return listenTCP(getenv)
	}
	// A file tells a name that nobody else has.
	file, err := os.CreateTemp(getenv(sessionwire.SocketsVariable), "plugin")
	if err != nil {
		return nil, err
	}
	path := file.Name()
	file.Close()
	if err := os.Remove(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path) // removed when it is closed
}

func listenTCP(getenv func(string) string) (net.Listener, error) {
	const loopback = "127.0.0.1"
	first, err := port(getenv, sessionwire.MinPortVariable)
	if err != nil {
		return nil, err
	}
	last, err := port(getenv, sessionwire.MaxPortVariable)
	if err != nil {
		return nil, err
	}
	for number := int(first); number <= int(last); number++ {
		if listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(number))); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("none of the ports from %d to %d is free", first, last)
}

// port reads the number of a port; 0, for any, if there is none.
func port(getenv func(string) string, variable string) (uint16, error) {
	text := getenv(variable)
	if text == "" {
		return 0, nil
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s is %q, which is no port", variable, text)
	}
	return uint16(number), nil
}
