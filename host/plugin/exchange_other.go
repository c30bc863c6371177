//go:build !linux && !darwin

package plugin

// exchangeDirectories is not possible here.
func exchangeDirectories(_, _ string) error { return errNoExchange }
