package doctor

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/signet-project/signet/host/artifact"
)

// registries asks each registry whether it is there, takes the credentials at hand,
// and what time it has.
func (e *examination) registries(ctx context.Context) {
	if len(e.Registries) == 0 {
		return
	}
	client, err := e.Client()
	if err != nil {
		e.add(Registries, Broken, e.Dirs.Config, "no registry can be asked: "+err.Error(), "mend the configuration first")
		return
	}
	for _, registry := range e.Registries {
		e.registry(ctx, client, registry)
	}
}

func (e *examination) registry(ctx context.Context, client *artifact.Client, name string) {
	start := e.Now()
	probe, err := client.Probe(ctx, name)
	if err != nil {
		e.add(Registries, Broken, name, err.Error(), "check its name, the network, proxies (HTTPS_PROXY, NO_PROXY) and certificate authorities (caFile in config.json)")
		return
	}
	if probe.Date.IsZero() {
		e.add(Clock, Note, name, "the registry does not tell its time", "")
	} else {
		// The registry's answer is from between two looks at our own clock.
		e.clock(name, probe.Date, start.Add(e.Now().Sub(start)/2))
	}
	how := map[bool]string{true: "by plain HTTP", false: "by TLS"}[probe.Plain]
	login := fmt.Sprintf("run: %s login %s", e.Program, name)
	switch {
	case probe.Status == http.StatusUnauthorized && !probe.Credential:
		e.add(Registries, Note, name, fmt.Sprintf("it answers %s and wants to see credentials for some things; there are none for it", how), login)
	case probe.Denied != nil:
		e.add(Registries, Broken, name, "it does not take the credentials at hand: "+probe.Denied.Error(), login)
	case probe.Status == http.StatusUnauthorized:
		e.add(Registries, OK, name, fmt.Sprintf("it answers %s and takes the credentials at hand", how), "")
	case probe.Status == http.StatusOK:
		e.add(Registries, OK, name, fmt.Sprintf("it answers %s, without credentials", how), "")
	default:
		e.add(Registries, Broken, name, fmt.Sprintf("it answers %s with HTTP status %d %s, which no registry does when all is well", how, probe.Status, http.StatusText(probe.Status)), "check its name, and tell whoever runs it")
	}
}

// clock compares this machine's time with a registry's, which is given to the
// second.
func (e *examination) clock(name string, theirs, ours time.Time) {
	skew := ours.Sub(theirs).Round(time.Second)
	direction := "ahead of"
	if skew < 0 {
		direction, skew = "behind", -skew
	}
	message := fmt.Sprintf("this machine's clock is %s %s the registry's", skew, direction)
	remedy := "set the clock, best by NTP: what is signed gets its time from it, and certificates, expiry and revocation are judged by it"
	switch {
	case skew > badSkew:
		e.add(Clock, Broken, name, message, remedy)
	case skew > maxSkew:
		e.add(Clock, Warning, name, message, remedy)
	default:
		e.add(Clock, OK, name, "this machine's clock agrees with the registry's", "")
	}
}
