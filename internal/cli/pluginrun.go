package cli

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/signet-project/signet/host/plugin"
)

// pluginRun says how the plugins of a run are run.
type pluginRun struct {
	// timeout bounds each call, repetitions included; 0 means the default.
	timeout time.Duration
	// withheld names environment variables that no plugin gets.
	withheld []string
}

// runsPlugins are the commands that may run plugins in the course of their work.
var runsPlugins = []string{
	"sign", "verify", "inspect", "blob sign", "blob verify", "key describe", "key csr", "key export-public",
	"plugin install", "plugin list", "plugin publish", "doctor",
}

// pluginFlags adds to the commands that run plugins how these are run.
func (a *app) pluginFlags(root *cobra.Command) {
	eachCommand(root, func(cmd *cobra.Command, path string) {
		if !slices.Contains(runsPlugins, path) {
			return
		}
		cmd.Flags().DurationVar(&a.pluginRun.timeout, "plugin-timeout", 0, "how long a call of a plugin may take, repetitions included (default 1m0s, 5m0s on a terminal)")
		cmd.Flags().StringArrayVar(&a.pluginRun.withheld, "plugin-env", nil, `environment variable to withhold from plugins, with * at its end for any rest; see "plugin withhold"`)
	})
}

// check refuses a timeout that is none.
func (r *pluginRun) check() error {
	if r.timeout < 0 {
		return fmt.Errorf("plugin-timeout value %s must be a positive duration", r.timeout)
	}
	return nil
}

// pluginOptions say how plugins are run, whatever they are run for.
func (a *app) pluginOptions() (plugin.Options, error) {
	return plugin.Options{
		Environ:     a.Environ,
		Withhold:    a.pluginRun.withheld,
		Timeout:     a.pluginRun.timeout,
		ListTimeout: a.pluginRun.timeout,
		Now:         a.Now,
		Logger:      a.log(),
	}, a.pluginRun.check()
}

// plugins is the manager of the installed plugins.
func (a *app) plugins() (*plugin.Manager, error) {
	settings, client, err := a.network()
	if err != nil {
		return nil, err
	}
	options, err := a.pluginOptions()
	if err != nil {
		return nil, err
	}
	options.Terminal = a.terminal()
	options.Stderr = &limitedWriter{w: a.Stderr, left: maxPluginStderr}
	options.HTTPClient = client
	options.RequirePins = settings.RequirePins
	options.MemoryDir = a.dirs.PluginMemory()
	options.Warn = func(err error) { a.warnf("%v", err) }
	return plugin.NewManager(a.dirs.Plugins(), options), nil
}

// maxPluginStderr is how much of what plugins write to standard error is shown, in
// bytes.
const maxPluginStderr = 1 << 20

// limitedWriter passes on the beginning of what is written to it.
type limitedWriter struct {
	w    io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	shown := p[:min(len(p), l.left)]
	l.left -= len(shown)
	if _, err := l.w.Write(shown); err != nil {
		return 0, err
	}
	return len(p), nil
}

// pluginPool hands out plugins for a run over many artifacts, until end is called.
func (a *app) pluginPool() (pool *plugin.Pool, end func(), err error) {
	manager, err := a.plugins()
	if err != nil {
		return nil, nil, err
	}
	pool = manager.NewPool()
	return pool, func() {
		if err := pool.Close(); err != nil {
			a.warnf("%v", err)
		}
	}, nil
}

// pluginNames lists the installed plugins, for completion.
func (a *app) pluginNames() []string {
	manager, err := a.plugins()
	if err != nil {
		return nil
	}
	names, err := manager.Names()
	if err != nil {
		return nil
	}
	return names
}
