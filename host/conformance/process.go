package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/signet-project/signet/protocol"
)

// process judges how the plugin ends, keeps secrets and bears company.
func (k *kit) process(ctx context.Context) {
	command := k.commands()[0]
	k.terminate(ctx, command)
	// Whatever comes of this is only searched for the secret.
	k.invoke(ctx, string(command), k.request(command).with(fields{"pluginConfig": k.secretConfig()}).reader())
	k.parallelMetadata(ctx)
}

// secretConfig is the configuration with a secret where none belongs.
func (k *kit) secretConfig() map[string]string {
	config := map[string]string{"password": k.canary}
	for name, value := range k.opts.Config {
		config[name] = value
	}
	return config
}

// terminate sends SIGTERM to a plugin that waits for the rest of its request.
func (k *kit) terminate(ctx context.Context, command protocol.Command) {
	// More than a pipe holds: when it is written, the plugin has begun to read.
	const beginning = 1 << 20
	// A plugin that does not read its request gets the signal after a while.
	const patience = 5 * time.Second
	asked, cancel := context.WithCancel(ctx)
	defer cancel()
	stdin, request := io.Pipe()
	defer request.Close()
	unread := time.AfterFunc(patience, cancel)
	defer unread.Stop()
	go func() {
		if _, err := request.Write(bytes.Repeat([]byte(" "), beginning)); err == nil {
			cancel()
		}
	}()
	x, err := k.transport(k.opts.Environ).Exchange(asked, []string{string(command)}, stdin)
	switch {
	case err != nil:
		k.leave(NotRun, err.Error(), "process.terminate")
	case x.Stopped == nil:
		k.leave(NotRun, "the plugin ended before its request was there", "process.terminate")
	case !errors.Is(x.Stopped, context.Canceled):
		k.leave(NotRun, x.Stopped.Error(), "process.terminate")
	default:
		k.count(string(command), &reply{Exchange: x})
		k.expect("process.terminate", !x.Forced, fmt.Sprintf("an end within %s of SIGTERM", k.opts.Grace), "it was still running then")
		k.expect("process.left", !x.Left, "nothing left running", string(command)+" left a process that it had started when it was ended by SIGTERM")
	}
}

// parallelMetadata asks for the metadata many times at once.
func (k *kit) parallelMetadata(ctx context.Context) {
	request := fields{"contractVersion": protocol.ContractVersion}
	k.parallel("call.parallel", func(int) (bool, string) {
		r := k.invoke(ctx, string(protocol.CommandGetMetadata), request.reader())
		return r.answer != nil, r.String()
	})
}

// parallel makes calls at once and expects all of them to come to a good end.
func (k *kit) parallel(id string, call func(i int) (good bool, seen string)) {
	var calls sync.WaitGroup
	for i := range k.opts.Parallel {
		calls.Go(func() {
			good, seen := call(i)
			k.expect(id, good, fmt.Sprintf("each of %d calls at once answered", k.opts.Parallel), seen)
		})
	}
	calls.Wait()
}

// reader is the request as JSON.
func (f fields) reader() io.Reader { return strings.NewReader(string(f.encode())) }
