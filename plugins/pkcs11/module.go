//go:build cgo

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	cryptoki "github.com/miekg/pkcs11"

	"github.com/signet-project/signet/protocol"
	"github.com/signet-project/signet/protocol/signer"
)

// modules are the modules loaded by one plugin, by path. They stay initialised,
// and their tokens logged in, until close.
type modules struct {
	mu     sync.Mutex
	loaded map[string]*module
	closed bool
	// calls are those that may be inside a module.
	calls sync.WaitGroup
}

// lastCalls is how long close waits for calls to leave the modules: those whose
// host has given up, since all others have been answered by then.
const lastCalls = 500 * time.Millisecond

var errClosed = errors.New("the plugin has been closed")

// module is one initialised module.
type module struct {
	*cryptoki.Ctx
	path string
	lock processLock
	// owner says that this plugin initialised the module and so finalises it.
	owner  bool
	mu     sync.Mutex
	tokens map[string]*token // by slot and serial number
}

// open finds the key at l, without logging in as long as it can be helped.
func (ms *modules) open(ctx context.Context, l *location) (signer.Key, error) {
	return within(ctx, ms, func() (signer.Key, error) {
		m, t, err := ms.find(ctx, l)
		if err != nil {
			return nil, err
		}
		return findKey(ctx, ms, m.token(t), l)
	})
}

// find loads the module and finds the token, while no process of the user logs
// in: SoftHSM writes to a token then, and doesn't let others read it meanwhile.
func (ms *modules) find(ctx context.Context, l *location) (*module, slot, error) {
	defer newProcessLock(l).share(ctx)()
	m, err := ms.load(l)
	if err != nil {
		return nil, slot{}, err
	}
	found, err := m.findToken(l)
	return m, found, err
}

// within calls f, which may get stuck in a module, and stops waiting for it when
// ctx ends. A call that has been answered is no longer in a module.
func within[T any](ctx context.Context, ms *modules, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if err := ms.enter(); err != nil {
		return none, err
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		ms.calls.Done()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (ms *modules) enter() error {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.closed {
		return errClosed
	}
	ms.calls.Add(1)
	return nil
}

// load returns the module that a location names, initialised.
func (ms *modules) load(l *location) (*module, error) {
	path := l.module
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if m := ms.loaded[path]; m != nil {
		return m, nil
	}
	if filepath.IsAbs(path) {
		if _, err := os.Stat(path); err != nil {
			return nil, protocol.Errorf(protocol.CodeValidation, "PKCS #11 module: %w", err)
		}
	}
	ctx := cryptoki.New(path)
	if ctx == nil {
		return nil, protocol.Errorf(protocol.CodeValidation,
			"PKCS #11 module %s cannot be loaded: it is not there, is no PKCS #11 library for %s/%s, or a library that it needs is missing", path, runtime.GOOS, runtime.GOARCH)
	}
	m := &module{Ctx: ctx, path: path, lock: newProcessLock(l), tokens: map[string]*token{}}
	switch err := ctx.Initialize(); {
	case err == nil:
		m.owner = true
	case !isCKR(err, cryptoki.CKR_CRYPTOKI_ALREADY_INITIALIZED):
		ctx.Destroy()
		return nil, describe(err, "initialise PKCS #11 module "+path)
	}
	if ms.loaded == nil {
		ms.loaded = map[string]*module{}
	}
	ms.loaded[path] = m
	return m, nil
}

// close keeps further calls out, waits a moment for those under way and finalises
// the modules, which ends their sessions and logins. A module in which a call is
// stuck can't be finalised; then all stay as they are.
func (ms *modules) close() error {
	if !ms.leave(lastCalls) {
		return errors.New("calls to PKCS #11 modules are under way")
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	var errs []error
	for path, m := range ms.loaded {
		if m.owner {
			errs = append(errs, m.Finalize())
		}
		m.Destroy()
		delete(ms.loaded, path)
	}
	return errors.Join(errs...)
}

// leave lets no call in any more, and tells whether all were out in time.
func (ms *modules) leave(patience time.Duration) bool {
	ms.mu.Lock()
	ms.closed = true
	ms.mu.Unlock()
	out := make(chan struct{})
	go func() {
		ms.calls.Wait()
		close(out)
	}()
	select {
	case <-out:
		return true
	case <-time.After(patience):
		return false
	}
}

// slot is a token with where it is.
type slot struct {
	id    uint
	token cryptoki.TokenInfo
}

func (s slot) String() string {
	return fmt.Sprintf("token %q (serial %s, slot-id %d)", s.token.Label, s.token.SerialNumber, s.id)
}

// findToken returns the one token that the URI matches.
func (m *module) findToken(l *location) (slot, error) {
	slots, err := m.slots(l.uri)
	if err != nil {
		return slot{}, err
	}
	var matching []slot
	var others []string
	for _, s := range slots {
		if l.uri.matchesToken(m.facts(s, l.uri)) {
			matching = append(matching, s)
		} else {
			others = append(others, strconv.Quote(s.token.Label))
		}
	}
	switch {
	case len(slots) == 0:
		return slot{}, protocol.Errorf(protocol.CodeValidation, "key %s: module %s has no initialised token: is it plugged in and its service running?", l.keyID, m.path)
	case len(matching) == 0:
		return slot{}, protocol.Errorf(protocol.CodeValidation, "key %s: module %s has no token with %s, but %s", l.keyID, m.path, l.uri.tokenText(), strings.Join(others, ", "))
	case len(matching) > 1:
		names := make([]string, len(matching))
		for i, s := range matching {
			names[i] = s.String()
		}
		return slot{}, protocol.Errorf(protocol.CodeValidation, "key %s: %d tokens match, say which one by serial= or slot-id= in the key id: %s", l.keyID, len(matching), strings.Join(names, ", "))
	}
	return matching[0], nil
}

// slots lists the initialised tokens. A token that can't be read is left out.
func (m *module) slots(u *uri) ([]slot, error) {
	ids, err := m.GetSlotList(true)
	if err != nil {
		return nil, describe(err, "list the slots of PKCS #11 module "+m.path)
	}
	var slots []slot
	for _, id := range ids {
		info, err := m.GetTokenInfo(id)
		if err == nil && info.Flags&cryptoki.CKF_TOKEN_INITIALIZED != 0 {
			slots = append(slots, slot{id, info})
		}
	}
	return slots, nil
}

// facts returns what a URI may ask of a token; the rarely asked only on demand.
func (m *module) facts(s slot, u *uri) tokenFacts {
	facts := tokenFacts{
		"token": s.token.Label, "manufacturer": s.token.ManufacturerID,
		"serial": strings.TrimRight(s.token.SerialNumber, "\x00"), "model": s.token.Model,
		"slot-id": strconv.FormatUint(uint64(s.id), 10),
	}
	if u.asks("slot-description") || u.asks("slot-manufacturer") {
		if info, err := m.GetSlotInfo(s.id); err == nil {
			facts["slot-description"], facts["slot-manufacturer"] = info.SlotDescription, info.ManufacturerID
		}
	}
	if u.asks("library-manufacturer") || u.asks("library-description") || u.asks("library-version") {
		if info, err := m.GetInfo(); err == nil {
			facts["library-manufacturer"], facts["library-description"] = info.ManufacturerID, info.LibraryDescription
			facts["library-version"] = fmt.Sprintf("%d.%d", info.LibraryVersion.Major, info.LibraryVersion.Minor)
		}
	}
	return facts
}

func (m *module) token(s slot) *token {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := fmt.Sprintf("%d/%s", s.id, s.token.SerialNumber)
	t := m.tokens[name]
	if t == nil {
		t = newToken(m, s)
		m.tokens[name] = t
	}
	return t
}

// isCKR tells whether err is one of the return values.
func isCKR(err error, values ...uint) bool {
	got, ok := errors.AsType[cryptoki.Error](err)
	return ok && slices.Contains(values, uint(got))
}

// describe makes a module's error ready for the host; what says what failed.
// Other errors pass as they are.
func describe(err error, what string) error {
	got, ok := errors.AsType[cryptoki.Error](err)
	if !ok {
		return err
	}
	text := got.Error() // "pkcs11: 0xA0: CKR_PIN_INCORRECT"
	return failure(returnValue{uint(got), text[strings.LastIndexByte(text, ' ')+1:]}, what)
}
