package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/educationpub/lectern/crdt/board"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsPath = "testdata/vectors.json"

// vectors is the file both codecs are held to. Value is the frame's CBOR array as JSON, byte strings as {"$hex": "…"}.
type vectors struct {
	About   string     `json:"about"`
	Frames  []vector   `json:"frames"`
	Refused []negative `json:"refused"`
	Skipped []negative `json:"skipped"`
}

type vector struct {
	Name  string          `json:"name"`
	Dir   string          `json:"dir"` // "client" (to the server) or "server"
	Hex   string          `json:"hex"`
	Value json.RawMessage `json:"value"`
}

type negative struct {
	Name string `json:"name"`
	Dir  string `json:"dir"`
	Hex  string `json:"hex"`
	Code string `json:"code,omitempty"` // of the refusal
	Same string `json:"same,omitempty"` // name of the frame it must read as; empty: skipped as unknown
}

var (
	actor       = []byte{0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f}
	serverActor = append([]byte{0}, actor[1:]...)
	ticket      = []byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}
	chunk       = []byte{0x85, 0x6f, 0x4a, 0x83, 1, 2, 3, 4, 1, 0}
	hash        = bytes.Repeat([]byte{0xee}, 32)
)

const page = "01hzx3v9k2m8q4w6y7r5t1n0bc"

var golden = []struct {
	name, dir string
	frame     Frame
}{
	{"auth", "client", Auth{Token: strings.Repeat("t", 43)}},
	{"hello, first time", "client", Hello{Actor: []byte{}}},
	{"hello, resuming", "client", Hello{Log: "k3v9", Have: 70000, Actor: actor}},
	{"change, one", "client", Change{Doc: page, Changes: [][]byte{chunk}}},
	{"change, three in epoch 300", "client", Change{Doc: "index", Epoch: 300, Changes: [][]byte{chunk, bytes.Repeat(chunk, 30), {}}}},
	{"live, cursor", "client", Live{Slot: 0, Payload: []byte{0xa1, 0x61, 0x78, 0x01}}},
	{"live, cleared", "client", Live{Slot: 3, Payload: []byte{}}},
	{"rtc.offer", "client", Offer{SDP: "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"}},
	{"lane, to the data channel", "client", Lane{Lane: 1, Have: 4294967296}},
	{"lane, to the WebSocket", "client", Lane{Lane: 0, Have: 0}},
	{"pong", "client", Pong{N: 24}},
	{"ticket", "client", Ticket{Ticket: ticket}},
	{"welcome, first time", "server", Welcome{
		Log: "k3v9", Seq: 812, Session: 7, Role: "participant", Actor: actor, Board: "abcdefghijklmnopqrstuvwxyz", Kind: "whiteboard",
		Encrypted: true, Companion: "@lectern:example.org", Docs: []Doc{{Doc: "index"}, {Doc: page, Epoch: 1, Seq: 800}},
		Saved: Saved{Seq: 800, At: 1766430000123}, Limits: Limits{Change: MaxChange, Ops: MaxOps, Frame: MaxFrame, Live: MaxLive, LiveHz: MaxLiveHz},
		RTC: true,
	}},
	{"welcome, resumed, viewer", "server", Welcome{
		Log: "k3v9", Seq: 812, Session: 4294967295, Role: "viewer", Actor: []byte{}, Board: "abcdefghijklmnopqrstuvwxyz", Kind: "whiteboard",
		Companion: "@lectern:example.org", Docs: []Doc{{Doc: page}}, Resume: true, Saved: Saved{Problem: "unreachable", Since: 1766430011000},
		Limits: Limits{Change: MaxChange, Ops: MaxOps, Frame: MaxFrame, Live: MaxLive, LiveHz: MaxLiveHz},
	}},
	{"entries, one", "server", Entries{From: 1, Entries: []Entry{{Doc: page, Kind: 1, Actor: actor, Bytes: chunk}}}},
	{"entries, two documents and a squash", "server", Entries{From: 65536, Entries: []Entry{
		{Doc: page, Epoch: 2, Kind: 1, Actor: actor, Bytes: bytes.Repeat(chunk, 7000/len(chunk))}, {Doc: "index", Epoch: 256, Kind: 2, Actor: actor, Bytes: []byte{}},
	}}},
	{"entries, a late change and its carries", "server", Entries{From: 4097, Entries: []Entry{
		{Doc: page, Epoch: 1, Kind: 4, Actor: actor, Bytes: chunk}, {Doc: page, Epoch: 2, Kind: 3, Actor: serverActor, Bytes: chunk}, {Doc: page, Epoch: 3, Kind: 3, Actor: serverActor, Bytes: chunk},
	}}},
	{"entries, a new page, one whose retention has ended, and a kind of a later version", "server", Entries{From: 9, Entries: []Entry{
		{Doc: page, Kind: 5, Actor: serverActor, Bytes: []byte{}}, {Doc: page, Kind: 0, Actor: actor, Bytes: []byte{}}, {Doc: page, Kind: 200, Actor: actor, Bytes: chunk},
	}}},
	{"known, one", "server", Known{Doc: page, Epoch: 0, Hashes: [][]byte{hash}}},
	{"known, three of epoch 300", "server", Known{Doc: "index", Epoch: 300, Hashes: [][]byte{hash, bytes.Repeat([]byte{0}, 32), bytes.Repeat([]byte{0xff}, 32)}}},
	{"known, none", "server", Known{Doc: page, Hashes: [][]byte{}}},
	{"live, two sessions", "server", LiveUpdates{Updates: []LiveUpdate{{Session: 1, Slot: 0, Payload: []byte{0xa0}}, {Session: 300, Slot: 1, Payload: []byte{}}}}},
	{"people, full", "server", People{Full: true, Joined: []Person{
		{Session: 1, UserID: "@ada:example.org", Name: "Ada", Role: "moderator"},
		{Session: 2, UserID: "@bö:other.example", Name: "Bö 🎈", Role: "viewer", External: "other.example"},
	}, Left: []uint32{}}},
	{"people, one left", "server", People{Joined: []Person{}, Left: []uint32{2}}},
	{"role", "server", Role{Role: "viewer", Reason: "power level changed"}},
	{"reset", "server", Reset{Doc: page, Hash: hash, Code: "grammar", Message: "This property does not exist.", Actor: actor}},
	{"reset, may not write any more", "server", Reset{Doc: page, Hash: hash, Code: "forbidden", Message: "You may only watch.", Actor: []byte{}}},
	{"saved", "server", Saved{Seq: 812, At: 1766430012345}},
	{"saved with a problem", "server", Saved{Seq: 812, At: 1766430012345, Problem: "busy", Since: 1766430015000}},
	{"gather", "server", Gather{Doc: page, X: -120, Y: 40, Width: 1280, Height: 720, By: "@ada:example.org"}},
	{"rtc.answer", "server", Answer{SDP: "v=0\r\n", Ticket: ticket}},
	{"held", "server", Held{Doc: page, By: "@ada:example.org", Count: 40}},
	{"ping", "server", Ping{N: 18446744073709551}},
	{"lane request", "server", LaneRequest{Lane: 0, Reason: "health"}},
	{"error", "server", Refused{Code: "too_large", Message: "live payload is longer than 8192 bytes"}},
	{"bye, come back", "server", Bye{Code: "draining", Message: "The server restarts.", RetryMS: 1500}},
	{"bye, stay away", "server", Bye{Code: "removed", Message: "You have left the room.", RetryMS: -1}},
}

var refused = []negative{
	{"empty", "client", "", "bad_frame", ""},
	{"not an array", "client", "01", "bad_frame", ""},
	{"empty array", "client", "80", "bad_frame", ""},
	{"type is text", "client", "816161", "bad_frame", ""},
	{"type is negative", "client", "8120", "bad_frame", ""},
	{"cut off", "client", "8208", "bad_frame", ""},
	{"two items", "client", "82080082 0800", "bad_frame", ""},
	{"indefinite array", "client", "9f0801ff", "bad_frame", ""},
	{"indefinite text", "client", "82017f6161ff", "bad_frame", ""},
	{"indefinite item after the known ones", "client", "8308019fff", "bad_frame", ""},
	{"tag", "client", "8208c101", "bad_frame", ""},
	{"self-described", "client", "d9d9f7820801", "bad_frame", ""},
	{"nested nine deep", "client", "830801" + strings.Repeat("81", 8) + "00", "bad_frame", ""},
	{"huge array announced", "client", "82039affffffff", "bad_frame", ""},
	{"huge bytes announced", "client", "8209 5bffffffffffffffff", "bad_frame", ""},
	{"reserved additional information", "client", "82081c", "bad_frame", ""},
	{"auth without token", "client", "8101", "bad_frame", ""},
	{"auth with bytes", "client", "820141 61", "bad_frame", ""},
	{"auth that is not UTF-8", "client", "820162c328", "bad_frame", ""},
	{"auth too long", "client", "8201 791001" + strings.Repeat("61", 4097), "too_large", ""},
	{"hello without map", "client", "8102", "bad_frame", ""},
	{"hello with an array", "client", "820280", "bad_frame", ""},
	{"hello with a key twice", "client", "8202a26468617665016468617665 02", "bad_frame", ""},
	{"hello with negative have", "client", "8202a1646861766520", "bad_frame", ""},
	{"hello with half have", "client", "8202a16468617665f93c00", "bad_frame", ""},
	{"hello with actor of 3 bytes", "client", "8202a1656163746f7243010203", "bad_frame", ""},
	{"change without chunks", "client", "84036569 6e64657800 80", "bad_frame", ""},
	{"change with text chunk", "client", "8403 65696e646578 00 816161", "bad_frame", ""},
	{"change with epoch beyond 32 bits", "client", "8403 65696e646578 1b0000000100000000 8140", "bad_frame", ""},
	{"change with 65 chunks", "client", "8403 65696e646578 00 9841" + strings.Repeat("40", 65), "too_large", ""},
	{"change with long doc", "client", "8403 7841" + strings.Repeat("61", 65) + " 00 8140", "too_large", ""},
	{"live slot 4", "client", "83040440", "bad_frame", ""},
	{"live payload too long", "client", "830400592001" + strings.Repeat("00", 8193), "too_large", ""},
	{"offer too long", "client", "8205a163736470794001" + strings.Repeat("61", 16385), "too_large", ""},
	{"lane 2", "client", "83070200", "bad_frame", ""},
	{"ticket of 15 bytes", "client", "82094f" + strings.Repeat("00", 15), "bad_frame", ""},
	{"frame too long", "client", "820a5a00010000" + strings.Repeat("00", 65536), "bad_frame", ""},
	{"entries that are numbers", "server", "8318210181 01", "bad_frame", ""},
	{"entry with four items", "server", "83182101818461 61000140", "bad_frame", ""},
	{"known without hashes", "server", "83 1825 65696e646578 00", "bad_frame", ""},
	{"known with a hash of 31 bytes", "server", "84 1825 65696e646578 00 81 581f" + strings.Repeat("ee", 31), "bad_frame", ""},
	{"known with a hash of 33 bytes", "server", "84 1825 65696e646578 00 81 5821" + strings.Repeat("ee", 33), "bad_frame", ""},
	{"known with a text hash", "server", "84 1825 65696e646578 00 81 7820" + strings.Repeat("61", 32), "bad_frame", ""},
	{"known with a map", "server", "82 1825 a0", "bad_frame", ""},
	{"known with epoch beyond 32 bits", "server", "84 1825 65696e646578 1b0000000100000000 80", "bad_frame", ""},
	{"known with 1025 hashes", "server", "84 1825 65696e646578 00 990401" + strings.Repeat("40", 1025), "too_large", ""},
	{"bye with text retry", "server", "82182ca16872657472795f6d736131", "bad_frame", ""},
}

var skipped = []negative{
	{"unknown type for the server", "client", "820a01", "", ""},
	{"reserved type 6", "client", "8106", "", ""},
	{"type 300", "client", "8119012c", "", ""},
	{"unknown type for the client", "server", "83183f01a0", "", ""},
	{"reserved type 47", "server", "81182f", "", ""},
	{"pong with further items", "client", "84081818f682f5f4", "", "pong"},
	{"pong in a longer form than needed", "client", "82081900 18", "", "pong"},
	{"bye with an unknown key", "server", "82182ca463" + hex.EncodeToString([]byte("new")) + "01 64" + hex.EncodeToString([]byte("code")) + "67" + hex.EncodeToString([]byte("removed")) +
		"67" + hex.EncodeToString([]byte("message")) + "77" + hex.EncodeToString([]byte("You have left the room.")) + "68" + hex.EncodeToString([]byte("retry_ms")) + "20", "", "bye, stay away"},
	{"known with a further item", "server", "85 1825 78 1a" + hex.EncodeToString([]byte(page)) + "00 81 5820" + strings.Repeat("ee", 32) + "f6", "", "known, one"},
	{"entry with a sixth item", "server", "8318210181 86781a" + hex.EncodeToString([]byte(page)) + "000150" + hex.EncodeToString(actor) + "4a" + hex.EncodeToString(chunk) + "820102", "", "entries, one"},
}

func decode(dir string, b []byte) (Frame, error) {
	if dir == "client" {
		return DecodeClient(b)
	}
	return DecodeServer(b)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatalf("hex: %v", err)
	}
	return b
}

// asJSON turns a generic CBOR value into what JSON can say.
func asJSON(v any) any {
	switch v := v.(type) {
	case []byte:
		return map[string]any{"$hex": hex.EncodeToString(v)}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = asJSON(v[i])
		}
		return out
	case map[any]any:
		out := map[string]any{}
		for k, x := range v {
			out[k.(string)] = asJSON(x)
		}
		return out
	}
	return v
}

// fromJSON is the way back: the generic value that has to encode to the vector's bytes.
func fromJSON(t testing.TB, v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = fromJSON(t, v[i])
		}
		return out
	case map[string]any:
		if s, ok := v["$hex"].(string); ok {
			return unhex(t, s)
		}
		out := map[string]any{}
		for k, x := range v {
			out[k] = fromJSON(t, x)
		}
		return out
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			t.Fatalf("number %s: %v", v, err)
		}
		return n
	}
	return v
}

func writeVectors(t *testing.T) {
	v := vectors{About: "Golden vectors of docs/protocol.md. value: the frame's CBOR array as JSON, byte strings as {\"$hex\"}. Encoding value canonically " +
		"(RFC 8949 section 4.2.1) gives hex; hex reads as value. refused: code is bad_frame or too_large. skipped: read as the frame named by same, or ignored."}
	for _, g := range golden {
		b := g.frame.Append(nil)
		var value any
		if err := cbor.Unmarshal(b, &value); err != nil {
			t.Fatal(err)
		}
		j, err := json.Marshal(asJSON(value))
		if err != nil {
			t.Fatal(err)
		}
		v.Frames = append(v.Frames, vector{Name: g.name, Dir: g.dir, Hex: hex.EncodeToString(b), Value: j})
	}
	for _, n := range refused {
		n.Hex = hex.EncodeToString(unhex(t, n.Hex))
		v.Refused = append(v.Refused, n)
	}
	for _, n := range skipped {
		n.Hex = hex.EncodeToString(unhex(t, n.Hex))
		v.Skipped = append(v.Skipped, n)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsPath, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	b, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	v := readVectors(t)
	if len(v.Frames) != len(golden) || len(v.Refused) != len(refused) || len(v.Skipped) != len(skipped) {
		t.Fatalf("vectors.json has %d, %d, %d vectors, want %d, %d, %d: run go test -update", len(v.Frames), len(v.Refused), len(v.Skipped), len(golden), len(refused), len(skipped))
	}
	generic, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Frame{}
	for i, g := range v.Frames {
		want := golden[i]
		byName[g.Name] = want.frame
		t.Run("WS1 "+g.Dir+" "+g.Name, func(t *testing.T) {
			b := unhex(t, g.Hex)
			f, err := decode(g.Dir, b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.frame, f); d != "" {
				t.Errorf("decoded (-want +got):\n%s", d)
			}
			if got := f.Append(nil); !bytes.Equal(got, b) {
				t.Errorf("encoded: got %x, want %x", got, b)
			}
			d := json.NewDecoder(bytes.NewReader(g.Value))
			d.UseNumber()
			var value any
			if err := d.Decode(&value); err != nil {
				t.Fatal(err)
			}
			if got, err := generic.Marshal(fromJSON(t, value)); err != nil || !bytes.Equal(got, b) {
				t.Errorf("value encoded by the codec: got %x, %v, want %x", got, err, b)
			}
		})
	}
	for _, n := range v.Refused {
		t.Run("WS2 refused "+n.Name, func(t *testing.T) {
			f, err := decode(n.Dir, unhex(t, n.Hex))
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Code != n.Code || e.Message == "" {
				t.Fatalf("got %#v, %v, want code %s", f, err, n.Code)
			}
		})
	}
	for _, n := range v.Skipped {
		t.Run("WS3 tolerated "+n.Name, func(t *testing.T) {
			f, err := decode(n.Dir, unhex(t, n.Hex))
			if err != nil {
				t.Fatal(err)
			}
			if n.Same != "" {
				if d := cmp.Diff(byName[n.Same], f); d != "" {
					t.Errorf("decoded (-want +got):\n%s", d)
				}
			} else if _, ok := f.(Unknown); !ok {
				t.Errorf("got %#v, want Unknown", f)
			}
		})
	}
}

func TestEntriesFromEncoded(t *testing.T) {
	t.Run("WS4 a frame of entries encoded once equals the frame encoded whole", func(t *testing.T) {
		e := board.Entry{Seq: 1, Doc: page, Kind: board.KindChange, Actor: board.ActorID(actor), Bytes: chunk}
		one := AppendEntry(nil, e)
		got := append(append(AppendEntriesHead(nil, 9, 2), one...), one...)
		w := Entry{Doc: page, Kind: 1, Actor: actor, Bytes: chunk}
		if want := (Entries{From: 9, Entries: []Entry{w, w}}).Append(nil); !bytes.Equal(got, want) {
			t.Errorf("got %x, want %x", got, want)
		}
		squash := AppendEntry(nil, board.Entry{Seq: 2, Doc: page, Epoch: 1, Kind: board.KindEpoch, Actor: board.ActorID(actor), Bytes: chunk})
		if want := appendEntry(nil, page, 1, 2, actor, nil); !bytes.Equal(squash, want) {
			t.Errorf("the bytes of a squash travel: got %x, want %x", squash, want)
		}
		if n := len(AppendEntriesHead(nil, 1<<64-1, MaxItems)); n > MaxEntriesHead {
			t.Errorf("head of %d bytes, more than MaxEntriesHead", n)
		}
	})
}

// FuzzDecode: whatever decodes is within the limits and encodes to something that decodes to the same frame.
func FuzzDecode(f *testing.F) {
	v := readVectors(f)
	for _, g := range v.Frames {
		f.Add(g.Dir == "client", unhex(f, g.Hex))
	}
	for _, n := range append(v.Refused, v.Skipped...) {
		f.Add(n.Dir == "client", unhex(f, n.Hex))
	}
	f.Fuzz(func(t *testing.T, client bool, b []byte) {
		dir := "server"
		if client {
			dir = "client"
		}
		frame, err := decode(dir, b)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("error %v is not *Error", err)
			}
			return
		}
		again := frame.Append(nil)
		if len(again) > MaxFrame {
			return // fields that were left out are written: the frame may outgrow the limit
		}
		second, err := decode(dir, again)
		if err != nil {
			t.Fatalf("%#v encodes to %x, which is refused: %v", frame, again, err)
		}
		if third := second.Append(nil); !bytes.Equal(again, third) {
			t.Fatalf("%#v encodes to %x, then to %x", frame, again, third)
		}
	})
}

func BenchmarkDecodeChange(b *testing.B) {
	f := Change{Doc: page, Changes: [][]byte{bytes.Repeat(chunk, 30)}}.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeClient(f); err != nil {
			b.Fatal(err)
		}
	}
}
