package scan

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const canary = "canary-7f3a"

// wrapping is one way to make a text unreadable without hiding it.
type wrapping struct {
	name string
	wrap func(t *testing.T, data []byte) []byte
}

func compressed(name string, open func(io.Writer) io.WriteCloser) wrapping {
	return wrapping{name, func(t *testing.T, data []byte) []byte {
		var out bytes.Buffer
		w := open(&out)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}}
}

func encoded(name string, e *base64.Encoding) wrapping {
	return wrapping{name, func(_ *testing.T, data []byte) []byte { return []byte(e.EncodeToString(data)) }}
}

func rawDeflate(level int) func(io.Writer) io.WriteCloser {
	return func(w io.Writer) io.WriteCloser {
		f, err := flate.NewWriter(w, level)
		if err != nil {
			panic(err)
		}
		return f
	}
}

var wrappings = []wrapping{
	encoded("base64", base64.StdEncoding),
	encoded("base64 unpadded", base64.RawStdEncoding),
	encoded("base64 url", base64.URLEncoding),
	encoded("base64 url unpadded", base64.RawURLEncoding),
	compressed("deflate", rawDeflate(flate.DefaultCompression)),
	compressed("deflate, codes only", rawDeflate(flate.HuffmanOnly)),
	compressed("zlib", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
	compressed("gzip", func(w io.Writer) io.WriteCloser {
		z := gzip.NewWriter(w)
		z.Name, z.Comment = "board.json", "a comment"
		return z
	}),
}

// payloads differ in what DEFLATE makes of them: fixed codes for the short one, dynamic codes for the long one.
func payloads() map[string][]byte {
	words := strings.Fields("the board shows what every pupil draws while the lesson goes on and nothing is lost when the power fails")
	random := rand.New(rand.NewPCG(1, 2))
	var long strings.Builder
	for i := range 400 {
		if i == 200 {
			long.WriteString(" " + canary + "\x00\xff\xfe")
		}
		long.WriteString(words[random.IntN(len(words))] + " ")
	}
	return map[string][]byte{"short": []byte(`{"text":"` + canary + `"}`), "long": []byte(long.String())}
}

// embed puts data between bytes that could be mistaken for a part of it.
func embed(data []byte) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 200)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	return bytes.Join([][]byte{noise, []byte("x/y:"), data, noise}, nil)
}

func found(t *testing.T, data []byte, text string) *Result {
	t.Helper()
	result, err := Bytes("data", data, text)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestScanFinds(t *testing.T) {
	for length, payload := range payloads() {
		t.Run("DV9 plain, "+length, func(t *testing.T) {
			if len(found(t, embed(payload), canary).Hits) == 0 {
				t.Error("not found")
			}
		})
		for _, outer := range wrappings {
			wrapped := outer.wrap(t, payload)
			t.Run("DV9 "+outer.name+", "+length, func(t *testing.T) {
				if bytes.Contains(wrapped, []byte(canary)) && !strings.HasPrefix(outer.name, "deflate") {
					t.Log("the wrapping left the canary readable")
				}
				if len(found(t, embed(wrapped), canary).Hits) == 0 {
					t.Error("not found")
				}
			})
			for _, second := range wrappings {
				t.Run("DV9 "+outer.name+" in "+second.name+", "+length, func(t *testing.T) {
					if len(found(t, embed(second.wrap(t, wrapped)), canary).Hits) == 0 {
						t.Error("not found")
					}
				})
			}
		}
	}
	t.Run("DV9 base64 in lines", func(t *testing.T) {
		text := base64.StdEncoding.EncodeToString(payloads()["long"])
		var lines strings.Builder
		for i := 0; i < len(text); i += 10 {
			lines.WriteString(text[i:min(i+10, len(text))] + "\r\n")
		}
		if len(found(t, []byte(lines.String()), canary).Hits) == 0 {
			t.Error("not found")
		}
	})
	t.Run("DV9 base64 after letters, at every alignment", func(t *testing.T) {
		for prefix := range 4 {
			data := strings.Repeat("k", prefix) + base64.RawStdEncoding.EncodeToString([]byte("##"+canary+"##"))
			if len(found(t, []byte(data), canary).Hits) == 0 {
				t.Errorf("not found after %d letters", prefix)
			}
		}
	})
	t.Run("DV9 utf-16", func(t *testing.T) {
		if len(found(t, embed(utf16LE(canary)), canary).Hits) == 0 {
			t.Error("not found")
		}
	})
	t.Run("DV9 a stream that is cut off", func(t *testing.T) {
		stream := wrappings[4].wrap(t, payloads()["long"])
		if len(found(t, stream[:len(stream)*9/10], canary).Hits) == 0 {
			t.Error("not found")
		}
	})
}

func TestScanAutomerge(t *testing.T) {
	const text = "canary-in-document"
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	// A compressed change chunk: magic, checksum, type 2, length, DEFLATE of what a plain one holds after its length.
	change := read("change.automerge")
	_, lengthBytes := binary.Uvarint(change[9:])
	body := wrappings[4].wrap(t, change[9+lengthBytes:])
	compressedChange := binary.AppendUvarint(append(bytes.Clone(change[:8]), 2), uint64(len(body)))
	compressedChange = append(compressedChange, body...)

	for name, data := range map[string][]byte{"document chunk": read("document.automerge"), "compressed change chunk": compressedChange} {
		if bytes.Contains(data, []byte(text)) {
			t.Fatalf("the %s shows the canary without unwrapping: it proves nothing", name)
		}
		t.Run("DV9 "+name, func(t *testing.T) {
			if len(found(t, embed(data), text).Hits) == 0 {
				t.Error("not found")
			}
		})
		t.Run("DV9 base64 of "+name, func(t *testing.T) {
			if len(found(t, embed(wrappings[3].wrap(t, data)), text).Hits) == 0 {
				t.Error("not found")
			}
		})
	}
	t.Run("DV9 change chunk", func(t *testing.T) {
		if len(found(t, embed(change), text).Hits) == 0 {
			t.Error("not found")
		}
	})
}

func TestScanSQLite(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	noise := make([]byte, 20000) // several pages, so that the value lies in pieces
	for i := range noise {
		noise[i] = byte('a' + random.IntN(26))
	}
	value := wrappings[4].wrap(t, append(noise, canary...))
	for name, statements := range map[string][]string{
		"main file": {},
		"WAL":       {"PRAGMA journal_mode = WAL"},
	} {
		t.Run("DV9 a long compressed value in a database, "+name, func(t *testing.T) {
			dir := t.TempDir()
			db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "x.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, s := range append(statements, `CREATE TABLE "odd""name" (v BLOB)`) {
				if _, err := db.Exec(s); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.Exec(`INSERT INTO "odd""name" VALUES (?)`, value); err != nil {
				t.Fatal(err)
			}
			result, err := Tree(dir, canary) // while the database is open
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(result.Hits, func(h Hit) bool { return strings.HasPrefix(h.Trail, "sqlite") }) {
				t.Errorf("got %v, want a hit in the table", result.Hits)
			}
		})
	}
}

func TestScanTree(t *testing.T) {
	dir := t.TempDir()
	random := rand.NewChaCha8([32]byte{7})
	noise := make([]byte, 1<<20)
	_, _ = random.Read(noise) // never fails
	files := map[string][]byte{"a.bin": noise, "sub/dir/log.txt": []byte("GET /index " + canary + "\n")}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	result, err := Tree(dir, canary, "canary-absent")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("DV9 a tree: every hit with its file, nothing else", func(t *testing.T) {
		if len(result.Hits) != 1 || result.Hits[0].File != "sub/dir/log.txt" || result.Hits[0].Canary != canary || result.Hits[0].Trail != "plain" {
			t.Errorf("got %v", result.Hits)
		}
	})
	t.Run("DV9 it says how much it looked at", func(t *testing.T) {
		if result.Files != 2 || result.Bytes < 1<<20 {
			t.Errorf("got %d files, %d bytes", result.Files, result.Bytes)
		}
	})
	t.Run("DV9 encrypted content is not found", func(t *testing.T) {
		result := found(t, noise, canary)
		if len(result.Hits) != 0 {
			t.Errorf("got %v", result.Hits)
		}
	})
	t.Run("DV9 bad canaries are refused", func(t *testing.T) {
		if _, err := Tree(dir); err == nil {
			t.Error("none: got no error")
		}
		if _, err := Tree(dir, "abc"); err == nil {
			t.Error("short: got no error")
		}
		if _, err := Tree(filepath.Join(dir, "nothing"), canary); err == nil {
			t.Error("missing folder: got no error")
		}
	})
}

func TestScanLimits(t *testing.T) {
	t.Run("DV9 a bomb is cut off and reported", func(t *testing.T) {
		s, err := newScanner([]string{canary})
		if err != nil {
			t.Fatal(err)
		}
		s.maxInflated = 1 << 16
		bomb := wrappings[4].wrap(t, append(make([]byte, 1<<20), canary...))
		s.content("bomb", bomb)
		if text := strings.Join(s.result.Incomplete, "\n"); !strings.Contains(text, "longer than 65536 bytes") {
			t.Errorf("got %q, want the limit reported", text)
		}
		s.minBudget = 1<<16 - budgetFactor*int64(len(bomb)) // the bomb's first layer is just too much
		s.content("another", bomb)
		if text := strings.Join(s.result.Incomplete, "\n"); !strings.Contains(text, "another: unwrapping it all takes too long") {
			t.Errorf("got %q, want the budget reported", text)
		}
	})
	t.Run("DV9 what is nested too deep is reported", func(t *testing.T) {
		data := payloads()["long"]
		for range maxDepth + 1 {
			data = wrappings[0].wrap(t, data)
		}
		result := found(t, data, canary)
		if len(result.Hits) == 0 && len(result.Incomplete) == 0 {
			t.Error("neither found nor reported")
		}
	})
}

// FuzzBlockStart holds the quick look against the real decoder: it must never miss a stream that holds something.
func FuzzBlockStart(f *testing.F) {
	f.Add([]byte("a lesson about lessons about lessons"), 9)
	f.Add(bytes.Repeat([]byte("ab"), 400), 1)
	f.Fuzz(func(t *testing.T, data []byte, level int) {
		level = min(max(level, flate.HuffmanOnly), flate.BestCompression)
		stream := compressed("", rawDeflate(level)).wrap(t, data)
		if len(data) >= minCanary && !blockStart(stream) {
			t.Errorf("level %d: %d bytes compressed to %x are not seen as a stream", level, len(data), stream)
		}
	})
}

func BenchmarkScanRandom(b *testing.B) {
	data := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data) // never fails
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Bytes("random", data, canary); err != nil {
			b.Fatal(err)
		}
	}
}
