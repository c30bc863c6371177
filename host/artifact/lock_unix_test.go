//go:build unix

package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// lockContext calls before when a lock is about to be waited for.
type lockContext struct {
	context.Context
	before func()
}

func (c lockContext) Err() error {
	c.before()
	return c.Context.Err()
}

// TestLockReplaced: where the lock file becomes a link after it was looked at, nothing is
// written under a lock that is somewhere else.
func TestLockReplaced(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"to another file": "x", "to nothing": ""} {
		l := newTestLayout(t)
		subject := l.image()
		outside := filepath.Join(t.TempDir(), "outside")
		if content != "" {
			if err := os.WriteFile(outside, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(l.path, lockFile)
		replaced := false
		ctx := lockContext{t.Context(), sync.OnceFunc(func() {
			replaced = true
			if err := errors.Join(os.Remove(path), os.Symlink(outside, path)); err != nil {
				t.Error(err)
			}
		})}
		_, err := l.open().PushSignature(ctx, request(t, subject, "envelope"))
		if err == nil || !strings.Contains(err.Error(), "cannot lock "+lockFile) || !replaced {
			t.Errorf("a link %s: %v, replaced %v", name, err, replaced)
		}
		if len(l.readIndex().Manifests) != 1 || content == "" && exists(outside) {
			t.Errorf("a link %s: written", name)
		}
	}
}

// TestLockPipe: a pipe in the place of the lock file keeps nobody waiting.
func TestLockPipe(t *testing.T) {
	t.Parallel()
	l := newTestLayout(t)
	subject, layout := l.image(), l.open()
	path := filepath.Join(l.path, lockFile)
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := layout.PushSignature(t.Context(), request(t, subject, "envelope")); err == nil || !strings.Contains(err.Error(), "cannot lock "+lockFile) {
		t.Error(err)
	}
	if len(l.readIndex().Manifests) != 1 {
		t.Error("written")
	}
}
