// Package conformance judges any plugin executable by the contract: it runs the
// plugin through every clause of spec/plugin-protocol.md that can be seen from
// outside, and reports a verdict for each. It trusts nothing that the plugin says
// and changes nothing but what the plugin itself changes.
package conformance
