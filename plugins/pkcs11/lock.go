//go:build cgo

package pkcs11

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// processLock is a lock between the processes of one user that use a module. One
// that can't be had (its directory can't be written) is done without: it guards
// against accidents, not enemies.
type processLock struct{ path string }

func newProcessLock(l *location) processLock {
	dir := l.pin.options.LockDir
	if dir == "" {
		return processLock{}
	}
	id := sha256.Sum256([]byte(l.module))
	return processLock{filepath.Join(dir, fmt.Sprintf("notation-pkcs11-%d-%x.lock", os.Getuid(), id[:8]))}
}

// exclude keeps all others out until the function it returns is called.
func (p processLock) exclude(ctx context.Context) (release func()) {
	return p.take(func(lock *flock.Flock) { _, _ = lock.TryLockContext(ctx, lockInterval) })
}

// share keeps those out that exclude others.
func (p processLock) share(ctx context.Context) (release func()) {
	return p.take(func(lock *flock.Flock) { _, _ = lock.TryRLockContext(ctx, lockInterval) })
}

const lockInterval = 10 * time.Millisecond

func (p processLock) take(wait func(*flock.Flock)) func() {
	if p.path == "" {
		return func() {}
	}
	lock := flock.New(p.path, flock.SetPermissions(0o600))
	wait(lock)
	return func() { _ = lock.Close() }
}
