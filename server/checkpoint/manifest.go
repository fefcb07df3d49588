package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/educationpub/lectern/crdt/board"
)

// Limits of what stands in a state event and of what is read back.
const (
	version = 1
	// maxInline bounds the raw bytes of all `data` in one event: as base64, in JSON, Megolm-encrypted and as base64 again it stays below the
	// 48,270 bytes of content that the stricter of two homeservers took (reference: 65,536 bytes per event).
	maxInline = 32 << 10
	// maxContent bounds the whole content before encryption.
	maxContent  = 46_000
	maxManifest = 4 << 20
	maxDocument = 32 << 20
	maxDocs     = 1_000
	maxAuthors  = 20_000
	maxTerm     = 1_000_000 // a board that changes its home every hour reaches it in a century
	maxCarried  = 200
	maxSeq      = 1<<53 - 1 // what JSON of Matrix holds
)

// manifest is the content of a board's state event (docs/SPEC.md CP1). No floats: events are canonical JSON.
type manifest struct {
	V       int                        `json:"v"`
	Board   board.ID                   `json:"board"`
	Kind    string                     `json:"kind"`
	Home    string                     `json:"home"`              // Matrix id of the companion of the Lectern that numbers this board's changes
	Term    uint64                     `json:"term"`              // from 1, one more at each take-over
	Taken   *Taken                     `json:"taken,omitempty"`   // from whom, and as of what
	Carried []Mark                     `json:"carried,omitempty"` // whose leftovers are in
	Log     string                     `json:"log"`
	Seq     uint64                     `json:"seq"` // every document has every change up to it
	Docs    []manifestDoc              `json:"docs"`
	Authors map[string]board.Person    `json:"authors"` // by actor, 32 hex digits
	Files   map[string]json.RawMessage `json:"files"`   // EncryptedFile by file id
	Rules   *board.Rules               `json:"rules,omitempty"`
}

// manifestDoc is one document: `data` alone is save(); `base` is a file with save(), and `data` then the change chunks that came after.
type manifestDoc struct {
	Doc    board.DocID     `json:"doc"`
	Epoch  uint32          `json:"epoch"`
	Seq    uint64          `json:"seq"`
	Heads  []string        `json:"heads"`  // 64 hex digits each, ascending
	SHA256 string          `json:"sha256"` // of the base file's plain bytes, or of data where there is no base; a tail is pinned by the heads
	Base   json.RawMessage `json:"base,omitempty"`
	Data   []byte          `json:"data,omitempty"`
}

// pointer stands in the event instead of a manifest that is too big for it.
type pointer struct {
	V     int             `json:"v"`
	Board board.ID        `json:"board"`
	File  json.RawMessage `json:"file"`
}

// stateType is the type of a board's state event; its state key is the board's id.
func stateType(kind string) string { return "com.educationpub." + kind + ".content" }

// kindOf reads a stateType back, "" for any other type.
func kindOf(typ string) string {
	kind, ok := strings.CutPrefix(typ, "com.educationpub.")
	if kind, ok2 := strings.CutSuffix(kind, ".content"); ok && ok2 {
		return kind
	}
	return ""
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readStrict decodes exactly one JSON value and refuses unknown fields.
func readStrict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// checkVersion comes before everything else is read: of another version nothing more is known.
func checkVersion(content []byte) error {
	var head struct{ V int }
	if err := json.Unmarshal(content, &head); err != nil {
		return fmt.Errorf("content is no JSON object: %w", err)
	}
	if head.V != version {
		return fmt.Errorf("content has version %d, this Lectern reads version %d", head.V, version)
	}
	return nil
}

var docName = regexp.MustCompile(`^(index|[0-9A-HJKMNP-TV-Z]{26}|[0-9a-hjkmnp-tv-z]{26})$`)

// check looks at everything that can be judged without the documents. Whether the home is ours is the caller's.
func (m *manifest) check(id board.ID, kind, sender string) error {
	switch {
	case m.Board != id:
		return fmt.Errorf("it is of board %q", m.Board)
	case m.Kind != kind:
		return fmt.Errorf("it is of kind %q, not %q", m.Kind, kind)
	case m.Home == "" || m.Log == "" || m.Seq == 0:
		return errors.New("home, log or seq is missing")
	case m.Home != sender:
		return fmt.Errorf("it names %.200q as the home, but was written by %.200q", m.Home, sender)
	case len(m.Docs) == 0 || len(m.Docs) > maxDocs:
		return fmt.Errorf("it has %d documents, 1 to %d are allowed", len(m.Docs), maxDocs)
	case len(m.Authors) > maxAuthors:
		return fmt.Errorf("it has %d authors, at most %d", len(m.Authors), maxAuthors)
	}
	seen := make(map[board.DocID]bool)
	for _, d := range m.Docs {
		if !docName.MatchString(string(d.Doc)) || seen[d.Doc] {
			return fmt.Errorf("document name %.40q is malformed or stands there twice", d.Doc)
		}
		seen[d.Doc] = true
		if len(d.Base) == 0 && len(d.Data) == 0 || len(d.Heads) == 0 || d.Seq < m.Seq {
			return fmt.Errorf("document %s has no content, no heads or too low a seq", d.Doc)
		}
	}
	return m.checkTerm()
}

// checkTerm looks at what is said of earlier homes.
func (m *manifest) checkTerm() error {
	switch {
	case m.Term < 1 || m.Term > maxTerm:
		return fmt.Errorf("it has term %d, 1 to %d are allowed", m.Term, maxTerm)
	case (m.Taken != nil) != (m.Term > 1):
		return fmt.Errorf("it has term %d, which does not fit what it says of an earlier home", m.Term)
	case m.Taken != nil && (m.Taken.Home == m.Home || !m.Taken.ok() || len(m.Taken.Docs) == 0 || len(m.Taken.Docs) > maxDocs):
		return errors.New("what it was taken from is malformed")
	case len(m.Carried) > maxCarried:
		return fmt.Errorf("it has taken in %d leftovers, at most %d", len(m.Carried), maxCarried)
	}
	for _, c := range m.Carried {
		if !c.ok() {
			return errors.New("what it has taken in is malformed")
		}
	}
	return nil
}

// ok: a companion, a log's name, a number.
func (m Mark) ok() bool {
	return isPerson(m.Home) && m.Log != "" && len(m.Log) <= 64 && m.Seq <= maxSeq
}

// isPerson: a Matrix id of a length that Matrix allows.
func isPerson(s string) bool {
	return strings.HasPrefix(s, "@") && strings.Contains(s, ":") && len(s) <= 255
}

// readActors reads authors.
func readActors(authors map[string]board.Person) (map[board.ActorID]board.Person, error) {
	out := make(map[board.ActorID]board.Person, len(authors))
	for name, person := range authors {
		var a board.ActorID
		if n, err := hex.Decode(a[:], []byte(name[:min(len(name), 2*len(a))])); err != nil || n != len(a) || len(name) != 2*len(a) {
			return nil, fmt.Errorf("author %.40q is no actor", name)
		}
		if !isPerson(string(person)) {
			return nil, fmt.Errorf("actor %s belongs to nobody", name)
		}
		out[a] = person
	}
	return out, nil
}

// splitChunks cuts a tail into its chunks: magic, checksum, type, length, body. What is inside is judged later.
func splitChunks(b []byte) ([][]byte, error) {
	var out [][]byte
	for len(b) > 0 {
		if len(b) < 10 {
			return nil, errors.New("the tail ends within a change")
		}
		length, n := binary.Uvarint(b[9:])
		if n <= 0 || length > uint64(len(b)-9-n) {
			return nil, errors.New("the tail ends within a change")
		}
		end := 9 + n + int(length)
		out = append(out, b[:end:end])
		b = b[end:]
	}
	return out, nil
}
