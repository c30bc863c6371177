package revocation

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// listKey says whose list from where is in memory. What one issuer signed
// cannot serve a certificate of another.
type listKey struct {
	issuer identity
	url    string
}

// fetchedList is a list whose signature by its issuer has been checked and whose
// entries have been indexed.
type fetchedList struct {
	*list
	url       string
	fetchedAt time.Time
	// fromFile tells that the list was read from the file cache.
	fromFile bool
	// unsaved tells that the list came from its server and is not in a file yet.
	unsaved atomic.Bool
	// refreshedAt is when a successor was last asked for because this list is past
	// its nextPublish: Unix nanoseconds, 0 for never.
	refreshedAt atomic.Int64
}

// refreshInterval is how often a list past its nextPublish is asked for again.
const refreshInterval = time.Minute

// searchLists reads the lists of the certificate's distribution points in order,
// until one or, where lists are split by reason, several of them decide.
func (c *Checker) searchLists(ctx context.Context, t *target, report *CertificateReport) {
	var covered reasons
	var age Age
	var excused *Revocation
	var server string
	for i, url := range t.crl.urls {
		if i == maxServers {
			report.attempt(MethodCRL, url, problem(ProblemLimit, "the certificate names more than %d CRLs", maxServers))
			break
		}
		found, err := c.askList(ctx, t, url)
		report.attempt(MethodCRL, url, err)
		if ctx.Err() != nil && err != nil {
			break
		}
		if err != nil {
			continue
		}
		if found.revoked != nil {
			report.decide(ResultRevoked, MethodCRL, url, found.age, found.revoked)
			return
		}
		if covered |= found.reasons; excused == nil {
			excused = found.excused
		}
		age, server = age.older(found.age), url
		if covered == allReasons {
			report.decide(ResultOK, MethodCRL, server, age, excused)
			return
		}
	}
	switch {
	case covered != 0:
		report.attempt(MethodCRL, server, problem(ProblemScope, "the CRLs that could be read cover some reasons for revocation only"))
	case len(t.crl.urls) == 0:
		report.attempt(MethodCRL, "", problem(ProblemURL, "the certificate's CRL distribution points have no URL"))
	}
}

// finding is what a list and its delta say about a certificate.
type finding struct {
	// revoked is set when the certificate is revoked or on hold.
	revoked *Revocation
	// excused is set when it would be, were it not for the reference time.
	excused *Revocation
	hold    bool
	reasons reasons
	age     Age
}

// askList returns what the list at a URL says about t.
func (c *Checker) askList(ctx context.Context, t *target, url string) (*finding, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	current, err := c.loadPair(ctx, t, url, mayBeCached)
	if err != nil {
		return nil, err
	}
	found, err := current.judge(t, c.now())
	if errors.Is(err, errUnfit) && (current.baseCached || current.deltaCached) {
		// What is in the cache may be too old for what is served today.
		if current, err = c.loadPair(ctx, t, url, fromServer); err != nil {
			return nil, err
		}
		found, err = current.judge(t, c.now())
	}
	if err != nil {
		return nil, err
	}
	if (found.revoked == nil || found.hold) && current.shouldRefresh(c.now()) {
		if better := c.successor(ctx, t, url, current); better != nil {
			return better, nil
		}
	}
	return found, nil
}

// successor returns what the list that has replaced current at its server says about
// t, or nil when there is none that can be used.
func (c *Checker) successor(ctx context.Context, t *target, url string, current *pair) *finding {
	fresh, err := c.loadPair(ctx, t, url, fromServer)
	if err != nil || fresh.base.thisUpdate.Before(current.base.thisUpdate) {
		return nil
	}
	fresh.base.refreshedAt.Store(c.now().UnixNano())
	found, err := fresh.judge(t, c.now())
	if err != nil {
		return nil
	}
	return found
}

// origin says where a list may come from.
type origin bool

const (
	mayBeCached origin = false
	fromServer  origin = true
)

// pair is a complete list with the delta that goes with it.
type pair struct {
	base  *fetchedList
	delta *fetchedList // nil when there is none, or none was needed
	// deltaErr says why there is no delta although there should be one.
	deltaErr error
	// baseCached and deltaCached tell that a list was not fetched just now.
	baseCached, deltaCached bool
}

// errUnfit says that a delta list cannot be combined with its base.
var errUnfit = errors.New("the delta CRL does not fit the CRL")

// shouldRefresh tells whether a newer list should exist by now, at most once in
// refreshInterval.
func (p *pair) shouldRefresh(now time.Time) bool {
	past := func(l *fetchedList) bool { return l != nil && !l.nextPublish.IsZero() && now.After(l.nextPublish) }
	if !past(p.base) && !past(p.delta) {
		return false
	}
	last := p.base.refreshedAt.Load()
	return now.Sub(time.Unix(0, last)) >= refreshInterval && p.base.refreshedAt.CompareAndSwap(last, now.UnixNano())
}

// loadPair gets the list at a URL and, where the list or the certificate names
// one, the delta list.
func (c *Checker) loadPair(ctx context.Context, t *target, url string, from origin) (*pair, error) {
	base, cached, err := c.getList(ctx, t, url, from, c.loadFile)
	if err != nil {
		return nil, err
	}
	p := &pair{base: base, baseCached: cached}
	if !base.freshest.present && !t.freshest.present {
		c.save(p)
		return p, nil
	}
	if base.expired(c.now()) || base.condemns(t) {
		return p, nil // no delta could change that
	}
	if p.deltaErr = c.addDelta(ctx, t, p, from); p.deltaErr == nil {
		c.save(p)
	}
	return p, nil
}

// judge decides what the lists say about t. An error says why they cannot be
// used; a list that has t permanently revoked is used even past its time.
func (p *pair) judge(t *target, now time.Time) (*finding, error) {
	if p.base.baseNumber != nil {
		return nil, problem(ProblemDelta, "the CRL is a delta CRL where a complete one belongs")
	}
	if err := p.base.scope.check(t.isCA, t.crl); err != nil {
		return nil, err
	}
	for _, l := range []*fetchedList{p.base, p.delta} {
		if l != nil && l.critical != nil {
			return nil, problem(ProblemCritical, "the CRL has critical extension %v, which is not supported", l.critical)
		}
	}
	found, err := p.status(t)
	if err != nil {
		return nil, err
	}
	if found.revoked != nil && !found.hold {
		return found, nil
	}
	if err := p.base.checkTime(now); err != nil {
		return nil, err
	}
	if p.deltaErr != nil {
		return nil, p.deltaErr
	}
	return found, nil
}

// status looks the certificate up. An entry with a reason other than hold and
// its removal is final; among those two the latest counts.
func (p *pair) status(t *target) (*finding, error) {
	found := &finding{reasons: allReasons, age: p.age()}
	if p.base.scope != nil {
		found.reasons = p.base.scope.reasons
	}
	var entries []Revocation
	for _, l := range []*fetchedList{p.base, p.delta} {
		if l == nil {
			continue
		}
		more, err := l.lookup(t.serial)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
	}
	var last *Revocation
	for i := range entries {
		entry := &entries[i]
		switch {
		case entry.excusedAt(t.crlReference):
			found.excused = entry
		case !entry.temporary():
			found.revoked, found.hold = entry, false
			return found, nil
		case last == nil || entry.Time.After(last.Time):
			last = entry
		}
	}
	if last != nil && last.Reason == ReasonCertificateHold {
		found.revoked, found.hold = last, true
	}
	return found, nil
}

func (p *pair) age() Age {
	age := Age{ThisUpdate: p.base.thisUpdate, NextUpdate: p.base.nextUpdate, FetchedAt: p.base.fetchedAt, Cached: p.baseCached}
	if d := p.delta; d != nil {
		age.ThisUpdate, age.Cached = d.thisUpdate, p.baseCached && p.deltaCached
		if d.nextUpdate.Before(age.NextUpdate) {
			age.NextUpdate = d.nextUpdate
		}
		if d.fetchedAt.Before(age.FetchedAt) {
			age.FetchedAt = d.fetchedAt
		}
	}
	return age
}

// getList returns the list at a URL from memory, from elsewhere on this machine,
// or from its server, and whether it was on this machine already.
func (c *Checker) getList(ctx context.Context, t *target, url string, from origin, elsewhere func(*target, string) *fetchedList) (found *fetchedList, cached bool, err error) {
	key := listKey{t.issuerID, url}
	if l := c.recallList(key); l != nil && from == mayBeCached {
		return l, true, nil
	}
	start := c.now()
	l, err := c.listFlights.do(ctx, flightKey{issuer: t.issuerID, url: url, from: from}, func(ctx context.Context) (*fetchedList, error) {
		if from == mayBeCached {
			if l := c.recallList(key); l != nil {
				return l, nil
			}
			if l := elsewhere(t, url); l != nil {
				return l, nil
			}
		}
		return c.download(ctx, t, url, from)
	})
	if err != nil {
		return nil, false, err
	}
	return l, l.fromFile || l.fetchedAt.Before(start), nil
}

// addDelta adds the first usable delta list that the base or else the
// certificate names.
func (c *Checker) addDelta(ctx context.Context, t *target, p *pair, from origin) error {
	reason := problem(ProblemDelta, "the delta CRL has no URL")
	asked := 0
	for _, url := range deltaURLs(t, p.base.list) {
		err := checkURL(url)
		if err == nil {
			if asked++; asked > maxServers {
				return problem(ProblemDelta, "more than %d delta CRLs are named", maxServers)
			}
			p.delta, p.deltaCached, err = c.getList(ctx, t, url, from, func(*target, string) *fetchedList { return nil })
		}
		if err == nil {
			err = p.delta.fits(p.base.list, t, c.now())
		}
		if err == nil {
			return nil
		}
		p.delta = nil
		reason = problem(ProblemDelta, "delta CRL %q: %w", url, err)
	}
	return reason
}

func deltaURLs(t *target, base *list) []string {
	return slices.Concat(base.freshest.urls, t.freshest.urls)
}

// recallList returns a list from memory that may be used again, or nil.
func (c *Checker) recallList(key listKey) *fetchedList {
	l, ok := c.lists.get(key)
	if now := c.now(); !ok || !c.reusable(l.fetchedAt, now) || l.expired(now) {
		return nil
	}
	return l
}

// download fetches a list from its server and keeps it in memory.
func (c *Checker) download(ctx context.Context, t *target, url string, from origin) (*fetchedList, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, problem(ProblemURL, "malformed URL")
	}
	if from == fromServer {
		request.Header.Set("Cache-Control", "no-cache")
	}
	der, err := c.fetch(request, timeoutOr(c.CRLTimeout, DefaultCRLTimeout), maxListSize)
	if err != nil {
		return nil, err
	}
	l, err := openList(der, t, url, c.now())
	if err != nil {
		return nil, err
	}
	l.unsaved.Store(true)
	c.remember(t, l)
	return l, nil
}

// openList parses a list, checks its signature, and only then reads its entries.
func openList(der []byte, t *target, url string, fetchedAt time.Time) (*fetchedList, error) {
	l, err := parseList(der)
	if err != nil {
		return nil, err
	}
	if err := l.checkSignature(t.issuer); err != nil {
		return nil, err
	}
	if err := l.buildIndex(); err != nil {
		return nil, err
	}
	return &fetchedList{list: l, url: url, fetchedAt: fetchedAt}, nil
}

// remember keeps a list in memory, unless a newer one is there.
func (c *Checker) remember(t *target, l *fetchedList) {
	key := listKey{t.issuerID, l.url}
	if known := c.recallList(key); known != nil && l.thisUpdate.Before(known.thisUpdate) {
		return
	}
	if !l.expired(c.now()) {
		c.lists.put(key, l, l.size(), maxListsMemory)
	}
}

// fits checks that a delta list can be used with a base (RFC 5280, section
// 5.2.4). A delta that has t permanently revoked fits even past its time.
func (l *fetchedList) fits(base *list, t *target, now time.Time) error {
	switch {
	case l.baseNumber == nil:
		return problem(ProblemDelta, "%w: it has no delta CRL indicator", errUnfit)
	case l.number == nil || base.number == nil:
		return problem(ProblemDelta, "%w: one of them has no CRL number", errUnfit)
	case l.number.Cmp(base.number) <= 0:
		return problem(ProblemDelta, "%w: its number %v is not greater than %v", errUnfit, l.number, base.number)
	case l.baseNumber.Cmp(base.number) > 0:
		return problem(ProblemDelta, "%w: it is for number %v and later, not for %v", errUnfit, l.baseNumber, base.number)
	case !sameScope(l.scope, base.scope):
		return problem(ProblemDelta, "%w: their issuing distribution points differ", errUnfit)
	case l.condemns(t):
		return nil
	}
	return l.checkTime(now)
}

// condemns tells whether the list has t revoked for good.
func (l *fetchedList) condemns(t *target) bool {
	entries, err := l.lookup(t.serial)
	return err == nil && l.critical == nil && slices.ContainsFunc(entries, func(entry Revocation) bool {
		return !entry.temporary() && !entry.excusedAt(t.crlReference)
	})
}

func sameScope(a, b *scope) bool {
	if a == nil || b == nil {
		return a == b
	}
	return string(a.raw) == string(b.raw)
}

// loadFile returns a list from the file cache that may still be used, or nil.
// The delta that was kept with it goes to memory.
func (c *Checker) loadFile(t *target, url string) *fetchedList {
	if c.Cache == nil {
		return nil
	}
	content, err := c.Cache.load(url)
	if err != nil {
		c.cacheFailed(err)
		return nil
	}
	now := c.now()
	if content == nil || !c.reusable(content.storedAt, now) {
		return nil
	}
	base, err := openList(content.Base, t, url, content.storedAt)
	if err != nil {
		c.cacheFailed(err)
		return nil
	}
	if base.baseNumber != nil {
		c.cacheFailed(errors.New("a delta CRL is kept in the file for a complete one"))
		return nil
	}
	base.fromFile = true
	if base.expired(now) {
		return nil
	}
	if len(content.Delta) > 0 {
		delta, err := openList(content.Delta, t, "", content.storedAt)
		if err != nil {
			c.cacheFailed(err)
			return nil
		}
		if delta.expired(now) {
			return nil
		}
		if urls := deltaURLs(t, base.list); len(urls) > 0 {
			delta.url, delta.fromFile = urls[0], true
			c.remember(t, delta)
		}
	}
	c.remember(t, base)
	return base
}

// save keeps a pair that came from its servers in a file, provided that all of
// it may be used again.
func (c *Checker) save(p *pair) {
	now := c.now()
	if c.Cache == nil || p.base.baseNumber != nil || p.base.expired(now) || (p.delta != nil && p.delta.expired(now)) {
		return
	}
	content := &cached{Base: p.base.der, storedAt: p.base.fetchedAt}
	unsaved := p.base.unsaved.Swap(false)
	if p.delta != nil {
		content.Delta = p.delta.der
		if p.delta.fetchedAt.Before(content.storedAt) {
			content.storedAt = p.delta.fetchedAt
		}
		unsaved = p.delta.unsaved.Swap(false) || unsaved
	}
	if !unsaved {
		return
	}
	if err := c.Cache.store(p.base.url, content); err != nil {
		c.cacheFailed(err)
	}
}

// cacheFailed reports a failure of the file cache, which is never a reason to
// fail: in detail to the log, and once to the user.
func (c *Checker) cacheFailed(err error) {
	c.logger().Debug("CRL cache error discarded", "error", err)
	c.warnCacheError.Do(func() {
		if c.Warn != nil {
			c.Warn(err)
		}
	})
}
