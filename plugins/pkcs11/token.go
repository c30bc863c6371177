//go:build cgo

package pkcs11

import (
	"context"
	"fmt"
	"sync"

	cryptoki "github.com/miekg/pkcs11"
	"golang.org/x/sync/semaphore"

	"github.com/signet-project/signet/protocol"
)

// maxSessions bounds the sessions with one token; further calls wait.
const maxSessions = 8

// token is a token with its sessions. A session serves one call at a time and is
// kept for the next one, which also keeps the login.
type token struct {
	module *module
	slot   slot
	places chan struct{} // holds a value for each session in use

	mu sync.Mutex // guards the rest; held while logging in
	// generation counts the times that all sessions were lost.
	generation int
	idle       []cryptoki.SessionHandle
	open       int // sessions open, idle or not
	loggedIn   bool
	pin        string // the one that was right
	wrongPIN   string // the one that was wrong last

	// alone is held by signatures that need a login of their own, which another
	// call in between would spoil.
	alone *semaphore.Weighted
}

func newToken(m *module, s slot) *token {
	places := uint(maxSessions)
	// 0 stands for "no limit" and the highest number for "not known".
	if limit := s.token.MaxSessionCount; limit > 0 {
		places = min(places, limit)
	}
	return &token{module: m, slot: s, places: make(chan struct{}, places), alone: semaphore.NewWeighted(1)}
}

func (t *token) String() string { return fmt.Sprintf("token %q", t.slot.token.Label) }

// session is one session of a generation.
type session struct {
	*module
	handle     cryptoki.SessionHandle
	generation int
}

// with calls f with a session of its own. After an error the session is closed,
// since an operation may still be active in it; after one that says that the
// sessions are lost, all are.
func (t *token) with(ctx context.Context, f func(s *session) error) error {
	select {
	case t.places <- struct{}{}:
		defer func() { <-t.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s, err := t.acquire()
	if err != nil {
		return err
	}
	err = f(s)
	t.release(s, err)
	return err
}

func (t *token) acquire() (*session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last := len(t.idle) - 1; last >= 0 {
		handle := t.idle[last]
		t.idle = t.idle[:last]
		return &session{t.module, handle, t.generation}, nil
	}
	// Read-only sessions are enough, and all that a write-protected token gives.
	handle, err := t.module.OpenSession(t.slot.id, cryptoki.CKF_SERIAL_SESSION)
	if err != nil {
		err = describe(err, fmt.Sprintf("open a session with %s", t))
		if lost(err) {
			t.forget()
		}
		return nil, err
	}
	t.open++
	return &session{t.module, handle, t.generation}, nil
}

func (t *token) release(s *session, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s.generation != t.generation: // was closed with all the others
	case lost(err):
		t.forget()
	case err == nil:
		t.idle = append(t.idle, s.handle)
	default:
		_ = t.module.CloseSession(s.handle)
		t.open--
		if t.open == 0 { // the last session takes the login with it
			t.loggedIn = false
		}
	}
}

// forget drops all sessions, with the login. The lock is held.
func (t *token) forget() {
	_ = t.module.CloseAllSessions(t.slot.id)
	t.generation++
	t.idle, t.open, t.loggedIn = nil, 0, false
}

// login logs the user in where the token wants it and nobody has yet, at most
// once with a PIN that turned out to be wrong.
func (t *token) login(ctx context.Context, s *session, source pinSource) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loggedIn || t.slot.token.Flags&cryptoki.CKF_LOGIN_REQUIRED == 0 {
		return nil
	}
	pin, warned, err := t.choosePIN(ctx, source)
	if err != nil {
		return err
	}
	// Alone among the user's processes: each sees what became of the try before.
	defer t.module.lock.exclude(ctx)()
	last, err := t.lastTry()
	if err != nil {
		return err
	}
	if last && !warned && pin != t.pin {
		return protocol.Errorf(protocol.CodeAccessDenied,
			"log in to %s: not tried, because one more wrong PIN locks it: make sure that the PIN is right and log in once with the token's own tool, or on a terminal without a stored PIN", t)
	}
	err = t.module.Login(s.handle, cryptoki.CKU_USER, pin)
	switch {
	case err == nil, isCKR(err, cryptoki.CKR_USER_ALREADY_LOGGED_IN):
		t.loggedIn, t.pin, t.wrongPIN = true, pin, ""
		return nil
	case isCKR(err, cryptoki.CKR_PIN_INCORRECT):
		t.wrongPIN = pin
	}
	return describe(err, fmt.Sprintf("log in to %s", t))
}

// lastTry tells whether the next wrong PIN locks the token; that it is locked
// already is an error.
func (t *token) lastTry() (bool, error) {
	info, err := t.module.GetTokenInfo(t.slot.id)
	if err != nil {
		return false, describe(err, fmt.Sprintf("ask %s whether it may be logged in to", t))
	}
	if info.Flags&cryptoki.CKF_USER_PIN_LOCKED != 0 {
		return false, failure(returnValue{cryptoki.CKR_PIN_LOCKED, "CKR_PIN_LOCKED"}, fmt.Sprintf("log in to %s", t))
	}
	return info.Flags&cryptoki.CKF_USER_PIN_FINAL_TRY != 0, nil
}

// choosePIN returns the PIN to log in with, "" where the token has a keypad, and
// whether the person who enters it has been warned if this is the last try.
func (t *token) choosePIN(ctx context.Context, source pinSource) (pin string, warned bool, err error) {
	if t.slot.token.Flags&cryptoki.CKF_PROTECTED_AUTHENTICATION_PATH != 0 {
		return "", true, nil // the keypad's business
	}
	pin, err = source.unattended()
	switch {
	case err != nil:
		return "", false, err
	case pin == "" && t.pin != "": // entered before, and right
		return t.pin, false, nil
	case pin == "":
		return t.askPIN(ctx, source)
	case pin == t.wrongPIN:
		return "", false, failure(returnValue{cryptoki.CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT"}, fmt.Sprintf("log in to %s", t))
	}
	return pin, false, nil
}

func (t *token) askPIN(ctx context.Context, source pinSource) (pin string, warned bool, err error) {
	release := t.module.lock.share(ctx)
	last, err := t.lastTry()
	release()
	if err != nil {
		return "", false, err
	}
	pin, err = source.ask(ctx, t.slot.token.Label, last)
	return pin, last, err
}
