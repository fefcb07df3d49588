package schema

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/educationpub/lectern/crdt/change"
)

// BenchmarkPageReplay opens a page at its design size: 1,000 elements of 22 properties, then 19,000 moves, from the log.
func BenchmarkPageReplay(b *testing.B) {
	const count, moves = 1000, 19_000
	p, base, head := board(b)
	w := &writer{t: b, p: p, start: next, dep: head}
	log := base
	made := make([]change.ID, count)
	lastX := make([]change.ID, count)
	add := func(ops ...change.Op) {
		chunk := seal(bob, w.seq+1, w.start, []change.Hash{w.dep}, ops...)
		log = append(log, chunk)
		if err := w.write(ops...); err != nil {
			b.Fatal(err)
		}
	}
	for i := range count {
		made[i] = id(int(w.start), byMe)
		ops := []change.Op{makes(change.MakeMap, elements, fmt.Sprintf("element-%012d", i))}
		for _, r := range table {
			switch {
			case len(ops) == 23:
			case r.words != nil:
				ops = append(ops, putString(made[i], r.name, r.words[0]))
			case r.kinds&kNumber != 0:
				if r.name == "x" || r.name == "fontFamily" {
					continue
				}
				ops = append(ops, put(made[i], r.name, 50))
			case r.kinds&kNull != 0:
				ops = append(ops, change.Op{Obj: made[i], Key: []byte(r.name), Action: change.Put})
			}
		}
		lastX[i] = id(int(w.start)+len(ops), byMe)
		add(append(ops, put(made[i], "x", int64(i)))...)
	}
	for i := range moves {
		k := i % count
		x := put(made[k], "x", int64(i), lastX[k])
		lastX[k] = id(int(w.start), byMe)
		add(x)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var q *Page
	for b.Loop() {
		q = NewPage()
		var c change.Change
		for _, chunk := range log {
			if err := c.Parse(chunk, nil); err != nil {
				b.Fatal(err)
			}
			if err := q.Check(&c); err != nil {
				b.Fatal(err)
			}
			q.Apply(&c, chunk)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(len(log)), "changes/op")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB-kept")
	runtime.KeepAlive(q)
}

func BenchmarkScene(b *testing.B) {
	changes := corpus(b, "page")
	p := NewPage()
	for _, x := range changes {
		take(b, p, x)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.Scene()
	}
	b.ReportMetric(float64(len(p.Scene())), "elements")
}
