package store_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/educationpub/lectern/server/store"
)

// full: the whole ranges (`make faults`) instead of a part of them.
var full = os.Getenv("LECTERN_TEST_FULL") != ""

// control is the memory that testdata/disk.c is told by, in its order.
type control struct {
	armed, failSync, failWrite, how, stays int64
	syncs, writes, failed                  int64
}

// How writes fail.
const (
	noRoom      = 1
	ioError     = 2
	halfThenNo  = 3
	alwaysHalf  = 4
	childRole   = "LECTERN_TEST_CHILD" // set in child processes only
	recordStart = 1 + 3*8
)

// child runs a test of this binary again, in a process whose disk is testdata/disk.c, with files below the answered folder.
func child(t *testing.T, role, test string, env ...string) (dir string, journal []record) {
	t.Helper()
	base := t.TempDir()
	shim := filepath.Join(base, "disk.so")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", shim, "testdata/disk.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("the C compiler is needed for this test: %v\n%s", err, out)
	}
	dir = filepath.Join(base, "disk")
	files := map[string]int{"control": 4096, "journal": 0}
	for name, size := range files {
		if err := os.WriteFile(filepath.Join(base, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v", "-test.timeout=40m")
	cmd.Env = append(append(os.Environ(), env...), childRole+"="+role, "LD_PRELOAD="+shim, "DISK_DIR="+dir,
		"DISK_CONTROL="+filepath.Join(base, "control"), "DISK_JOURNAL="+filepath.Join(base, "journal"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, tail(out, 4000))
	}
	for l := range strings.Lines(string(out)) {
		if s, ok := strings.CutPrefix(strings.TrimSpace(l), "REPORT "); ok {
			t.Log(s)
		}
	}
	return dir, readJournal(t, filepath.Join(base, "journal"))
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// diskOf is the child's side: its folder, the control, and a way to note what happened between the writes.
func diskOf(t *testing.T) (dir string, c *control, note func(format string, args ...any)) {
	t.Helper()
	f, err := os.OpenFile(os.Getenv("DISK_CONTROL"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mem, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := os.OpenFile(os.Getenv("DISK_JOURNAL"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { journal.Close() })
	put := func(op byte, path string, at int64, b []byte) {
		r := append(make([]byte, 0, recordStart+len(path)+len(b)), op)
		for _, n := range []int64{int64(len(path)), at, int64(len(b))} {
			r = binary.LittleEndian.AppendUint64(r, uint64(n))
		}
		if _, err := journal.Write(append(append(r, path...), b...)); err != nil {
			panic(err)
		}
	}
	store.TraceFiles(func(op, path string, at int64, b []byte) { put(op[0], path, at, b) })
	store.RetryAfter(time.Millisecond)
	return os.Getenv("DISK_DIR"), (*control)(unsafe.Pointer(&mem[0])), func(format string, args ...any) { put('!', fmt.Sprintf(format, args...), 0, nil) }
}

// arm lets the n-th sync or write from now on fail.
func (c *control) arm(sync, write, how, stays int64) {
	for p, v := range map[*int64]int64{&c.failSync: sync, &c.failWrite: write, &c.how: how, &c.stays: stays, &c.syncs: 0, &c.writes: 0, &c.failed: 0} {
		atomic.StoreInt64(p, v)
	}
	atomic.StoreInt64(&c.armed, 1)
}

func (c *control) disarm() (failed int64) {
	atomic.StoreInt64(&c.armed, 0)
	return atomic.LoadInt64(&c.failed)
}

// record is one line of the journal: "w"rite, "s"ync, failed sync ("e"), "t"runcate, "c"reate, "u"nlink, "l"ink, or a note ("!").
type record struct {
	op   byte
	path string // or the text of the note
	at   int64
	data []byte
}

func readJournal(t *testing.T, path string) (list []record) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		r := record{op: b[0], at: int64(binary.LittleEndian.Uint64(b[9:]))}
		n, m := binary.LittleEndian.Uint64(b[1:]), binary.LittleEndian.Uint64(b[17:])
		b = b[recordStart:]
		r.path, r.data, b = string(b[:n]), b[n:n+m], b[n+m:]
		list = append(list, r)
	}
	return list
}

// forgetful is a disk as it may be after a power cut: what was synced is there, what was not is there or not, page by page and torn
// between sectors; names come and go in the order in which they were made, but not beyond what their folder's sync has covered.
type forgetful struct {
	stingy  bool              // keeps nothing that it need not
	names   map[string]*inode // durable
	live    map[string]*inode
	pending map[string][]func(map[string]*inode) // by folder
}

type inode struct {
	durable []byte
	pending []record
}

func newForgetful() *forgetful {
	return &forgetful{names: map[string]*inode{}, live: map[string]*inode{}, pending: map[string][]func(map[string]*inode){}}
}

func (d *forgetful) name(path string, f func(map[string]*inode)) {
	f(d.live)
	dir := filepath.Dir(path)
	d.pending[dir] = append(d.pending[dir], f)
}

// do takes in one record. rnd decides what a failing sync leaves on the disk: the kernel calls all of it clean.
func (d *forgetful) do(r record, rnd *rand.Rand) {
	i := d.live[r.path]
	switch r.op {
	case 'c':
		if i == nil {
			i = &inode{}
			d.name(r.path, func(m map[string]*inode) { m[r.path] = i })
		}
	case 'u':
		d.name(r.path, func(m map[string]*inode) { delete(m, r.path) })
	case 'l':
		to := string(r.data)
		d.name(to, func(m map[string]*inode) { m[to] = i })
	case 'w', 't':
		if i != nil { // nobody will find an unlinked file again
			i.pending = append(i.pending, r)
		}
	case 's':
		if i == nil { // a folder
			for _, f := range d.pending[r.path] {
				f(d.names)
			}
			delete(d.pending, r.path)
			return
		}
		i.durable, i.pending = i.after(func(n int) int { return n }), nil
	case 'e':
		if i != nil {
			i.durable, i.pending = i.after(func(n int) int {
				if d.stingy {
					return 0
				}
				return rnd.IntN(n + 1)
			}), nil
		}
	}
}

const (
	pageSize   = 4096
	sectorSize = 512
)

// after is the file after some of what is pending: keep answers for every page, and for the size, how many of the n operations on it count.
func (i *inode) after(keep func(n int) int) []byte {
	pages := map[int64][]record{}
	var sizes []int64
	size := int64(len(i.durable))
	for _, r := range i.pending {
		if r.op == 't' {
			size = r.at
			sizes = append(sizes, size)
			continue
		}
		for at, data := r.at, r.data; len(data) > 0; {
			n := min(int64(len(data)), pageSize-at%pageSize)
			pages[at/pageSize] = append(pages[at/pageSize], record{at: at, data: data[:n]})
			at, data = at+n, data[n:]
		}
		if end := r.at + int64(len(r.data)); end > size {
			size = end
			sizes = append(sizes, size)
		}
	}
	size = int64(len(i.durable))
	if k := keep(len(sizes)); k > 0 {
		size = sizes[k-1]
	}
	out := make([]byte, size)
	copy(out, i.durable)
	for _, list := range pages {
		for _, r := range list[:keep(len(list))] {
			if r.at < size {
				copy(out[r.at:], r.data)
			}
		}
	}
	return out
}

// crash writes what may be left of the disk below old to the folder to.
func (d *forgetful) crash(old, to string, rnd *rand.Rand) error {
	names := map[string]*inode{}
	for p, i := range d.names {
		names[p] = i
	}
	for _, list := range d.pending {
		for _, f := range list[:rnd.IntN(len(list)+1)] {
			f(names)
		}
	}
	mood := rnd.IntN(4) // nothing, everything, else page by page
	if d.stingy {
		mood = 0
	}
	for path, i := range names {
		content := i.after(func(n int) int {
			switch mood {
			case 0:
				return 0
			case 1:
				return n
			}
			return rnd.IntN(n + 1)
		})
		if mood == 3 && len(i.pending) > 0 { // a torn sector boundary in the page written last
			if r := i.pending[len(i.pending)-1]; r.op == 'w' && len(r.data) > sectorSize && r.at < int64(len(content)) {
				copy(content[r.at:], r.data[:sectorSize*(1+rnd.IntN(len(r.data)/sectorSize))])
			}
		}
		if strings.HasSuffix(path, "-shm") { // never synced: anything
			for j := range content {
				content[j] = byte(rnd.Uint32())
			}
		}
		name := filepath.Join(to, strings.TrimPrefix(path, old))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func report(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "REPORT "+format+"\n", args...)
}
