package revocation

import (
	linked "container/list"
	"sync"
)

// memory is a cache that forgets what has not been used for longest once the
// costs of its values exceed a limit. The zero value is ready to use.
type memory[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]*linked.Element // of *remembered[K, V]
	recent  linked.List           // most recently used first
	cost    int64
}

type remembered[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

func (m *memory[K, V]) get(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	element, ok := m.entries[key]
	if !ok {
		var none V
		return none, false
	}
	m.recent.MoveToFront(element)
	return element.Value.(*remembered[K, V]).value, true
}

// put replaces the value of key, and forgets others until limit holds.
func (m *memory[K, V]) put(key K, value V, cost, limit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries == nil {
		m.entries = map[K]*linked.Element{}
	}
	if element, ok := m.entries[key]; ok {
		m.remove(element)
	}
	m.entries[key] = m.recent.PushFront(&remembered[K, V]{key, value, cost})
	m.cost += cost
	for m.cost > limit && m.recent.Len() > 0 {
		m.remove(m.recent.Back())
	}
}

// remove is called with m.mu held.
func (m *memory[K, V]) remove(element *linked.Element) {
	entry := m.recent.Remove(element).(*remembered[K, V])
	delete(m.entries, entry.key)
	m.cost -= entry.cost
}
