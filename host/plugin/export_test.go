package plugin

import "github.com/signet-project/signet/internal/testplugin"

// What tests outside of the package need of it.

// TestFuncs are the functions of test plugins.
var TestFuncs = map[string]testplugin.Func{"throttle once": throttleOnce}

// SetStep sets what is called between the steps of running a plugin.
func (m *Manager) SetStep(step func(name string)) { m.step = step }
