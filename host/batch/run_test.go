package batch

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// numbers counts to n.
func numbers(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// busy counts how many run at the same time.
type busy struct{ now, most, all atomic.Int32 }

func (b *busy) do(duration time.Duration) {
	b.all.Add(1)
	now := b.now.Add(1)
	for most := b.most.Load(); now > most && !b.most.CompareAndSwap(most, now); most = b.most.Load() {
	}
	time.Sleep(duration) // of a synctest clock
	b.now.Add(-1)
}

func TestEach(t *testing.T) {
	t.Run("all, so many at a time, results one at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var work, reports busy
			var got []int
			err := Each(t.Context(), 4, numbers(50), func(_ context.Context, i int) int {
				work.do(time.Duration(50-i) * time.Second)
				return i
			}, func(i int) error {
				reports.do(time.Second)
				got = append(got, i)
				return nil
			})
			slices.Sort(got)
			if err != nil || !slices.Equal(got, slices.Collect(numbers(50))) || work.most.Load() != 4 || reports.most.Load() != 1 {
				t.Errorf("%v, %v, %d at a time, %d reports at a time", err, got, work.most.Load(), reports.most.Load())
			}
		})
	})
	t.Run("no number of workers is one", func(t *testing.T) {
		for _, workers := range []int{0, -1} {
			seen := 0
			err := Each(t.Context(), workers, numbers(3), func(_ context.Context, i int) int { return i }, func(int) error { seen++; return nil })
			if err != nil || seen != 3 {
				t.Errorf("Each by %d: %d, %v", workers, seen, err)
			}
			if got := slices.Collect(InOrder(t.Context(), workers, numbers(3), func(_ context.Context, i int) int { return i })); len(got) != 3 {
				t.Errorf("InOrder by %d: %v", workers, got)
			}
		}
	})
	t.Run("an error of a report ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var work busy
			full, cancelled := errors.New("disk full"), atomic.Int32{}
			err := Each(t.Context(), 3, numbers(1000), func(ctx context.Context, i int) int {
				work.do(time.Second)
				if i > 3 {
					<-ctx.Done()
					cancelled.Add(1)
				}
				return i
			}, func(i int) error {
				if i == 3 {
					return full
				}
				return nil
			})
			if !errors.Is(err, full) || work.now.Load() != 0 || work.all.Load() > 10 || cancelled.Load() == 0 {
				t.Errorf("%v, %d running, %d begun, %d cancelled", err, work.now.Load(), work.all.Load(), cancelled.Load())
			}
		})
	})
	t.Run("cancelled: no new ones, those under way are reported", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second+time.Millisecond)
			defer cancel()
			reported := 0
			err := Each(ctx, 2, numbers(1000), func(ctx context.Context, i int) int {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
				return i
			}, func(int) error { reported++; return nil })
			if !errors.Is(err, context.DeadlineExceeded) || reported != 12 {
				t.Errorf("%v, %d reported", err, reported)
			}
		})
	})
}

func TestInOrder(t *testing.T) {
	t.Run("order, and so many at a time", func(t *testing.T) {
		for _, workers := range []int{1, 2, 5} {
			synctest.Test(t, func(t *testing.T) {
				var work busy
				got := slices.Collect(InOrder(t.Context(), workers, numbers(20), func(_ context.Context, i int) int {
					work.do(time.Duration(20-i) * time.Second)
					return i
				}))
				if !slices.Equal(got, slices.Collect(numbers(20))) || int(work.most.Load()) != workers {
					t.Errorf("%v, %d at a time, want %d", got, work.most.Load(), workers)
				}
			})
		}
	})
	t.Run("a caller that wants no more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var work busy
			for i := range InOrder(t.Context(), 3, numbers(1000), func(_ context.Context, i int) int { work.do(time.Second); return i }) {
				if i == 4 {
					break
				}
			}
			if work.now.Load() != 0 || work.all.Load() > 10 {
				t.Errorf("%d running, %d begun", work.now.Load(), work.all.Load())
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Millisecond)
			defer cancel()
			got := slices.Collect(InOrder(ctx, 3, numbers(1000), func(_ context.Context, i int) int { time.Sleep(time.Second); return i }))
			if len(got) == 0 || len(got) > 200 || !slices.IsSorted(got) {
				t.Errorf("%v", got)
			}
		})
	})
}
