package openid

import (
	"container/list"
	"sync"
)

// lru remembers at most maxNames values, so that a flood of made-up names pushes out names instead of filling memory.
type lru[V any] struct {
	mu    sync.Mutex
	items map[string]*list.Element // guarded by mu
	order list.List                // guarded by mu; newest first
}

type entry[V any] struct {
	key   string
	value V
}

// get answers the value of a key, made by fresh if there is none.
func (l *lru[V]) get(key string, fresh func() V) V {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.items[key]; e != nil {
		l.order.MoveToFront(e)
		return e.Value.(*entry[V]).value
	}
	v := fresh()
	l.set(key, v)
	return v
}

func (l *lru[V]) peek(key string) (v V, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.items[key]; e != nil {
		l.order.MoveToFront(e)
		return e.Value.(*entry[V]).value, true
	}
	return v, false
}

func (l *lru[V]) put(key string, v V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(key, v)
}

// set runs with mu held.
func (l *lru[V]) set(key string, v V) {
	if l.items == nil {
		l.items = map[string]*list.Element{}
	}
	if e := l.items[key]; e != nil {
		e.Value.(*entry[V]).value = v
		l.order.MoveToFront(e)
		return
	}
	l.items[key] = l.order.PushFront(&entry[V]{key, v})
	if len(l.items) > maxNames {
		last := l.order.Back()
		l.order.Remove(last)
		delete(l.items, last.Value.(*entry[V]).key)
	}
}

func (l *lru[V]) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items)
}

// Match tells whether a server name fits one of the globs.
func Match(patterns []string, s string) bool {
	for _, p := range patterns {
		if glob(p, s) {
			return true
		}
	}
	return false
}

// glob knows "*" (any run). Patterns come from the configuration.
func glob(pattern, s string) bool {
	for i := range len(pattern) {
		if pattern[i] == '*' {
			for j := range len(s) + 1 {
				if glob(pattern[i+1:], s[j:]) {
					return true
				}
			}
			return false
		}
		if s == "" || s[0] != pattern[i] {
			return false
		}
		s = s[1:]
	}
	return s == ""
}
